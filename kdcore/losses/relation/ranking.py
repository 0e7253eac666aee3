"""In which order a sample's neighbours stand."""

from __future__ import annotations

from itertools import permutations
from typing import Any, Literal, Self

import torch
from torch import Tensor

from kdcore._typing import Float
from kdcore.losses._common import at_least_float32, check_choice, check_range, refuse_out_of_range, unit
from kdcore.losses.relation._rows import as_rows, embedding_sizes, nothing, squared_distances
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

Form = Literal["hard", "soft"]
LONGEST = 6  # of a list all of whose orders are compared: 720 of them


def darkrank_loss(
    student_features: Float[Tensor, " batch *student_shape"],
    teacher_features: Float[Tensor, " batch *teacher_shape"],
    *,
    form: Form = "hard",
    alpha: float = 3.0,
    beta: float = 3.0,
    length: int = 4,
) -> Float[Tensor, ""]:
    r"""Match in which order each sample's nearest neighbours stand, as the teacher sees them; a scalar.

    .. math::
        P(\pi) = \prod_i \frac{\exp S_{\pi(i)}}{\sum_{k \ge i} \exp S_{\pi(k)}}, \quad
        S_j = -\alpha \lVert f_q - f_j \rVert_2^\beta, \quad
        L = -\log P^s(\pi^t) \;\text{(hard)}, \; L = \sum_\pi P^t(\pi) \log \frac{P^t(\pi)}{P^s(\pi)} \;\text{(soft)}

    Survey: huang2022 section 4.3.
    Paper: {cite:t}`chen2018darkrank`.

    Args:
        student_features: embeddings, the samples first; computed in float32 at least.
        teacher_features: of the same samples, of any size; taken as a constant.
        form: ``hard``, the student's probability of the teacher's order, or ``soft``, the divergence of the
            distributions over all orders. Default ``hard``: the form that the RKD authors compare with.
        alpha: scale of the scores, above 0. Default 3: the code of the RKD authors.
        beta: power of the distance, above 0. Default 3: the same, and the DarkRank authors' power of 1.5 of the square.
        length: how many of a sample's nearest neighbours, in the teacher's eyes, are ordered; all where there are
            fewer. At least 1, at most 6 for ``soft``. Default 4: the code of the RKD authors.

    Returns:
        The mean over samples, each in turn the query. At least 0; 0 for ``soft`` when all scores of a list differ by
        the same amounts, while ``hard`` falls to 0 only with gaps that grow without bound.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: the tensors hold no samples or not the same number of them, or an option is out of its range.

    Notes:
        Embeddings are compared as they come; both codes give them length 1 first, as the method here does.
        The DarkRank authors order all of the batch for ``hard`` and ask the first half of it; their ``soft`` is a
        cross-entropy, which has the same gradient. Neighbours at equal distances keep an order of no meaning.

    Example:
        >>> import torch
        >>> teacher, student = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.0], [1.0], [1.0]])
        >>> round(darkrank_loss(student, teacher, alpha=1.0, beta=1.0).item(), 4)  # log 2, log(1 + e), log(1 + 1/e)
        0.7732
    """
    check_choice("form", form, "hard", "soft")
    longest = LONGEST if form == "soft" else float("inf")
    check_range(alpha=(alpha, 0.0, False), beta=(beta, 0.0, False), length=(length, 1, True))
    if length > longest:
        raise ValueError(f"length must be at most {longest} where all orders are compared, got {length}")
    student, teacher = as_rows(student_features, teacher_features)
    if len(student) == 1:
        return nothing(student)
    mine, theirs = (-alpha * _power(squared_distances(rows), beta / 2) for rows in (student, teacher))
    oneself = torch.eye(len(student), dtype=torch.bool, device=student.device)
    nearest = theirs.masked_fill(oneself, -torch.inf).topk(min(length, len(student) - 1), dim=1).indices
    mine, theirs = mine.gather(1, nearest), theirs.gather(1, nearest)
    if form == "hard":
        return -_log_probability(mine).mean()
    orders = torch.tensor(list(permutations(range(nearest.shape[1]))), device=student.device)
    log_q, log_p = (_log_probability(scores[:, orders]) for scores in (mine, theirs))
    return (log_p.exp() * (log_p - log_q)).sum(1).mean()


def _power(squares: Tensor, exponent: float) -> Tensor:
    """Of what is above 0; the slope at 0 is 0 for small powers too."""
    apart = squares > 0
    return torch.where(apart, torch.where(apart, squares, 1).pow(exponent), 0)


def _log_probability(scores: Float[Tensor, "*lists length"]) -> Float[Tensor, "*lists"]:
    """Of drawing a list in the order in which it stands, each next one in proportion to its exponential."""
    length = scores.shape[-1]
    gone = torch.ones(length, length, dtype=torch.bool, device=scores.device).tril(-1)
    left = scores.unsqueeze(-2).expand(*scores.shape, length).masked_fill(gone, -torch.inf)
    return (scores - left.logsumexp(-1)).sum(-1)


class DarkRank(Method):
    """`darkrank_loss` on the embeddings that the classifiers read, each at length 1.

    Args:
        form, alpha, beta, length: see `darkrank_loss`.
        weight: Default 1; no published table names one for classification.
    """

    def __init__(
        self, *, form: Form = "hard", alpha: float = 3.0, beta: float = 3.0, length: int = 4, weight: float = 1.0
    ):
        super().__init__()
        refuse_out_of_range(above_zero={"alpha": alpha, "beta": beta, "length": length}, weight=weight)
        if form not in ("hard", "soft"):
            raise Refusal(f"form must be 'hard' or 'soft', got {form!r}")
        self.options = {"form": form, "alpha": alpha, "beta": beta, "length": length}
        self.weight, self.zero_at_agreement = weight, form == "soft"

    @classmethod
    def build(cls, setting: Setting, **settings: Any) -> Self:
        embedding_sizes(setting)
        return cls(**settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        mine, theirs = (unit(at_least_float32(answer.embedding)) for answer in (student, teacher))
        return {"darkrank": Term(darkrank_loss(mine, theirs, **self.options), self.weight)}


ENTRIES = (
    Entry("darkrank", "loss", DarkRank, {}, "AAAI 2018, the teacher's order; numbers of the RKD authors' code"),
    Entry("darkrank-soft", "loss", DarkRank, {"form": "soft"}, "AAAI 2018, all orders"),
)
