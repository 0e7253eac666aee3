"""Networks of a size between teacher and student, which carry the lesson from one to the other."""

from kdcore.schemes.assistant.chain import TAKD

__all__ = ["TAKD"]
