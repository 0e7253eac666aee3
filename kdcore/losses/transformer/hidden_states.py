"""Hidden states of a transformer's layers, brought to the teacher's width and set beside the layers of a map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

from torch import Tensor, nn

from kdcore._typing import Bool, Float
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_choice,
    check_dimensions,
    check_floating,
    check_same_shape,
    reduce,
    refuse_out_of_range,
)
from kdcore.losses.sequence._positions import check_mask, counted, mean_over_positions
from kdcore.losses.transformer._tokens import common_mask, hidden_of
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

Form = Literal["mean", "frobenius"]
Mapping = Literal["uniform", "last"]
Pairs = Sequence[Sequence[int]]  # (student's layer, teacher's layer), 0 for what the first layer reads


def hidden_state_align_loss(
    student_states: Float[Tensor, "batch length width"],
    teacher_states: Float[Tensor, "batch length width"],
    mask: Bool[Tensor, "batch length"] | None = None,
    *,
    form: Form = "mean",
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Match one layer's hidden states by squared difference, the student's having been brought to their width.

    .. math::
        L = \frac{1}{|M| \, d_t} \sum_{i \in M} \lVert W h^s_i - h^t_i \rVert_2^2 \;\text{(mean)}, \qquad
        L = \sum_{i \in M} \lVert W h^s_i - h^t_i \rVert_2^2 = \lVert W H^s - H^t \rVert_F^2 \;\text{(frobenius)}

    for each sequence, over its positions :math:`M` that are not padding, tokens being columns of :math:`H`.

    Survey: zhao2026 eq. 15, one term of its sum (``frobenius``; the norm is printed as if of a vector, and credited to
    a paper that needs neither projection nor layer map: errata Z-15).
    Paper: {cite:t}`jiao2020tinybert`, the part on hidden states (``mean``).

    Args:
        student_states: what the projection makes of the student's states, any floating type; float32 at least.
        teacher_states: the same shape; taken as a constant.
        mask: true where a position counts. Default: everywhere.
        form: ``mean`` over positions and width, or ``frobenius``, their sum. Default ``mean``: the authors' code.
        reduction: over sequences.

    Returns:
        A value of at least 0, 0 only when both are equal at every counted position. ``frobenius`` grows with the
        length and the width. A sequence without a counted position gives 0.

    Raises:
        TypeError: a tensor is not of a floating type, or the mask holds anything but booleans.
        ValueError: shapes differ, or the form is unknown.

    Notes:
        The forms differ by the factor ``length * width``, so a weight must name its form.
        The authors' code averages over padding too, and over all positions of a batch at once; without padding that
        is the same mean. TextBrewer leaves padding out and averages over all tokens of the batch.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(1, 2, 3), torch.ones(1, 2, 3)
        >>> [hidden_state_align_loss(student, teacher, form=form).item() for form in ("mean", "frobenius")]
        [1.0, 6.0]
        >>> hidden_state_align_loss(student, teacher, torch.tensor([[True, False]]), form="frobenius").item()
        3.0
    """
    check_floating(student_states=student_states, teacher_states=teacher_states)
    check_same_shape(student_states=student_states, teacher_states=teacher_states)
    check_dimensions("batch length width", student_states=student_states)
    check_choice("form", form, "mean", "frobenius")
    check_mask(mask, student_states.shape[:2])
    mine, theirs = (at_least_float32(counted(states, mask)) for states in (student_states, teacher_states.detach()))
    squares = (mine - theirs).square()
    if form == "frobenius":
        return reduce(squares.sum((1, 2)), reduction)
    return reduce(mean_over_positions(squares.mean(2), mask), reduction)


def layer_pairs(
    student_layers: int,
    teacher_layers: int,
    *,
    mapping: Mapping | Pairs = "uniform",
    every: int = 1,
    first: bool = False,
) -> tuple[tuple[int, int], ...]:
    """Which of the student's layers is set beside which of the teacher's; layers count from 1.

    Args:
        student_layers: how many the student has.
        teacher_layers: how many the teacher has.
        mapping: ``uniform`` spreads the student's layers evenly over the teacher's, the last beside the last;
            ``last`` takes the teacher's last ones; or pairs, as in ``[[1, 4], [2, 8]]``.
        every: keep each so manieth of the student's layers, counted from the last.
        first: put 0 beside 0 as well, what the first layers read.

    Example:
        >>> layer_pairs(4, 12), layer_pairs(2, 12, mapping="last")
        (((1, 3), (2, 6), (3, 9), (4, 12)), ((1, 11), (2, 12)))
        >>> layer_pairs(6, 12, every=4, first=True)
        ((0, 0), (2, 4), (6, 12))
    """
    if not isinstance(every, int) or every < 1:
        raise Refusal(f"every must be a whole number of at least 1, got {every}")
    if not isinstance(mapping, str):
        return _named(mapping, student_layers, teacher_layers)
    if mapping not in ("uniform", "last"):
        raise Refusal(f"mapping must be 'uniform', 'last' or pairs of layers, got {mapping!r}")
    if mapping == "last" and student_layers > teacher_layers:
        raise Refusal(f"the teacher has {teacher_layers} layers, fewer than the student's {student_layers}: name pairs")
    beside = {
        "uniform": lambda layer: (2 * layer * teacher_layers + student_layers) // (2 * student_layers),
        "last": lambda layer: teacher_layers - student_layers + layer,
    }[mapping]
    kept = [layer for layer in range(1, student_layers + 1) if (student_layers - layer) % every == 0]
    return (*(((0, 0),) if first else ()), *((layer, beside(layer)) for layer in kept))


def _named(pairs: Pairs, student_layers: int, teacher_layers: int) -> tuple[tuple[int, int], ...]:
    if not pairs:
        raise Refusal("at least one pair of layers must be named, as in mapping=[[1, 2], [2, 4]]")
    for mine, theirs in pairs:
        for whose, layer, layers in (("student", mine, student_layers), ("teacher", theirs, teacher_layers)):
            if not 0 <= layer <= layers:
                raise Refusal(f"the {whose} has layers 1 .. {layers}, and 0 for what the first reads, got {layer}")
    return tuple((mine, theirs) for mine, theirs in pairs)


class HiddenStateAlign(Method):
    """`hidden_state_align_loss` for each pair of layers, with a projection to the teacher's width, beside the task.

    Args:
        student_width: of the student's states.
        teacher_width: of the teacher's.
        pairs: of layers, see `layer_pairs`; `build` makes them from ``mapping``, ``every`` and ``first``. Default:
            all of the student's layers, spread evenly over the teacher's, without what the first layers read.
        form: see the loss.
        weight: of each pair. Default 1: the authors'.
        task_weight: of the task beside it. Default 1, ours: the authors train on states and attention first, and on
            the task afterwards.
        shared: one projection for all pairs, as in the authors' code, or one for each, as zhao2026 eq. 15 has it.
            Default: one for each.
        bias: whether a projection adds a constant, as the authors' code does. Default: it does not, as in eq. 15.
    """

    def __init__(
        self,
        student_width: int,
        teacher_width: int,
        pairs: Pairs,
        *,
        form: Form = "mean",
        weight: float = 1.0,
        task_weight: float = 1.0,
        shared: bool = False,
        bias: bool = False,
    ):
        super().__init__()
        refuse_out_of_range(weight=weight, task_weight=task_weight)
        if form not in ("mean", "frobenius"):
            raise Refusal(f"form must be 'mean' or 'frobenius', got {form!r}")
        self.pairs = tuple((mine, theirs) for mine, theirs in pairs)
        self.form, self.weight, self.task_weight, self.shared = form, weight, task_weight, shared
        count = 1 if shared else len(self.pairs)
        self.projections = nn.ModuleList(nn.Linear(student_width, teacher_width, bias=bias) for _ in range(count))

    @classmethod
    def build(
        cls,
        setting: Setting,
        *,
        mapping: Mapping | Pairs = "uniform",
        every: int = 1,
        first: bool = False,
        **settings: Any,
    ) -> Self:
        mine, theirs = hidden_of("hidden-state-align", setting)
        layers = len(mine) - 1, len(theirs) - 1
        pairs = layer_pairs(*layers, mapping=mapping, every=every, first=first)
        return cls(mine[0].shape[-1], theirs[0].shape[-1], pairs, **settings)

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        mask = common_mask(student, teacher)
        terms = {}
        for number, (mine, theirs) in enumerate(self.pairs):
            projected = self.projections[0 if self.shared else number](student.hidden[mine])
            value = hidden_state_align_loss(projected, teacher.hidden[theirs], mask, form=self.form)
            terms[f"hidden_{mine}"] = Term(value, self.weight)
        return terms


ENTRIES = (
    Entry("hidden-state-align", "loss", HiddenStateAlign, {}, "zhao2026 eq. 15 as a mean of squares, TinyBERT's"),
    Entry(
        "hidden-state-align-tinybert",
        "loss",
        HiddenStateAlign,
        {"first": True, "shared": True, "bias": True},
        "as in TinyBERT's code: with what the first layers read, one projection",
    ),
    Entry("hidden-state-align-zhao2026", "loss", HiddenStateAlign, {"form": "frobenius"}, "zhao2026 eq. 15, the sum"),
)
