"""Why it works: statements of the surveys, each with the experiment that can speak against it."""

from kdcore.claims.types import Claim, Verdict
from kdcore.entry import Refusal

__all__ = ["Claim", "Verdict", "claim"]


def claim(key: str) -> Claim:
    """A claim by the inventory's key, or a refusal that names the nearest.

    Example:
        >>> claim("t2-gradient-scaling").by
        'Hinton 2015; zhao2026 eq. 2, si2023 eq. 1'
    """
    from kdcore import catalogue

    made = catalogue.load(key).make
    if not isinstance(made, Claim):
        raise Refusal(f"'{key}' is no claim, it stands for {made}")
    return made
