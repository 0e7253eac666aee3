"""What losses on transformers ask of two networks before they compare them."""

from __future__ import annotations

from torch import Tensor

from kdcore.types import Outputs, Refusal, Setting


def hidden_of(key: str, setting: Setting) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The hidden states of student and teacher, of the first layer's input and after each layer; refused without."""
    both = tuple(getattr(said, "hidden", ()) for said in (setting.student, setting.teacher))
    for whose, hidden in zip(("student", "teacher"), both):
        if len(hidden) < 2:
            raise Refusal(f"{key} needs the hidden states of a transformer's layers, and the {whose} gives none")
    check_lengths(key, *(hidden[0].shape[1] for hidden in both))
    return both


def check_lengths(key: str, student: int, teacher: int) -> None:
    if student != teacher:
        raise Refusal(
            f"{key} compares token by token, and the student reads {student} where the teacher reads {teacher}"
        )


def common_mask(student: Outputs, teacher: Outputs) -> Tensor | None:
    """Which tokens count for both networks; None where all do."""
    mine, theirs = (getattr(said, "mask", None) for said in (student, teacher))
    if mine is None or theirs is None:
        return theirs if mine is None else mine
    return mine & theirs
