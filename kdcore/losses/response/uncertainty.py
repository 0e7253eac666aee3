"""How unsure an answer is: three measures, each higher for a less certain one."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from kdcore._typing import Float
from kdcore.losses._common import at_least_float32, check_logits, check_two_classes, log_softened


def entropy(logits: Float[Tensor, "batch classes"]) -> Float[Tensor, " batch"]:
    r"""How widely the answer spreads over the classes, :math:`-\sum_i p_i \ln p_i`.

    Survey: si2023 section 2.1. Paper: {cite:t}`xu2020unix`, the authors' default.

    Args:
        logits: unnormalised scores, any floating type; computed in float32 at least.

    Returns:
        From 0 (certain) to the logarithm of the number of classes (all equal), one an example.

    Notes:
        The authors take the logarithm of the softmax, which gives NaN where a probability rounds to 0.

    Example:
        >>> import torch
        >>> [round(value, 4) for value in entropy(torch.tensor([[0.0, 0.0], [0.0, 900.0]])).tolist()]
        [0.6931, 0.0]
    """
    check_logits(logits=logits)
    log_probabilities = log_softened(logits, 1.0)
    return (log_probabilities.exp() * -log_probabilities).sum(1)


def margin(logits: Float[Tensor, "batch classes"]) -> Float[Tensor, " batch"]:
    """How close the two likeliest classes are, one minus the difference of their probabilities.

    Survey: si2023 section 2.1. Paper: {cite:t}`xu2020unix`, who rank by the negative difference.

    Args:
        logits: unnormalised scores of at least two classes, any floating type; computed in float32 at least.

    Returns:
        From 0 (certain) to 1 (a tie), one an example.

    Example:
        >>> import torch
        >>> [round(value, 4) for value in margin(torch.tensor([[0.6, 0.3, 0.1], [0.4, 0.4, 0.2]]).log()).tolist()]
        [0.7, 1.0]
    """
    check_logits(logits=logits)
    check_two_classes(logits)
    first, second = at_least_float32(logits).softmax(1).topk(2).values.unbind(1)
    return 1 - (first - second)


def least_confidence(logits: Float[Tensor, "batch classes"]) -> Float[Tensor, " batch"]:
    """How improbable even the likeliest class is, one minus its probability.

    Survey: si2023 section 2.1. Paper: {cite:t}`xu2020unix`.

    Args:
        logits: unnormalised scores, any floating type; computed in float32 at least.

    Returns:
        From 0 (certain) to ``1 - 1 / classes`` (all equal), one an example.

    Example:
        >>> import torch
        >>> round(least_confidence(torch.tensor([[0.6, 0.3, 0.1]]).log()).item(), 4)
        0.4
    """
    check_logits(logits=logits)
    return 1 - at_least_float32(logits).softmax(1).amax(1)


MEASURES: dict[str, Callable[[Tensor], Tensor]] = {
    "entropy": entropy,
    "margin": margin,
    "least-confidence": least_confidence,
}
