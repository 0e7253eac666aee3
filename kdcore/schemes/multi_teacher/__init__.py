"""Several finished teachers and one student."""

from kdcore.schemes.multi_teacher.adaptive import AMTMLKD

__all__ = ["AMTMLKD"]
