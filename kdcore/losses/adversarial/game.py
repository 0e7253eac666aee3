"""A critic learns to tell the student's answers from the teacher's, and the student learns to pass for its teacher."""

from __future__ import annotations

from typing import Any, Literal, Self

import torch.nn.functional as F
from torch import Tensor, nn

from kdcore._typing import Float
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
from kdcore.losses.adversarial.critics import Critic, judged_apart
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

Form = Literal["non-saturating", "minimax", "least-squares", "wasserstein"]
CriticForm = Literal["cross-entropy", "least-squares", "wasserstein"]
CRITIC_OF: dict[str, CriticForm] = {
    "non-saturating": "cross-entropy",
    "minimax": "cross-entropy",
    "least-squares": "least-squares",
    "wasserstein": "wasserstein",
}


def gan_kd_loss(
    student_scores: Float[Tensor, " batch"], *, form: Form = "non-saturating", reduction: Reduction = "mean"
) -> Float[Tensor, " ..."]:
    r"""Make the critic take the student's answer for the teacher's.

    .. math::
        L = -\log D(v^s) \;\text{(non-saturating)}, \quad L = \log(1 - D(v^s)) \;\text{(minimax)}, \quad
        D = \mathrm{sigmoid}(s), \\
        L = (1 - s)^2 \;\text{(least-squares)}, \quad L = -s \;\text{(wasserstein)}

    where s is the critic's score.

    Survey: si2023 eq. 9 (printed with the critic's own objective, unsigned: errata S-01, S-02; see
    `gan_kd_survey_loss`); zhao2026 section 4.3; huang2022 section 6.1.
    Paper: no single one; the game as {cite:t}`si2023` states it for distillation. Least squares are those of
    {cite:t}`chung2020afd`, the Wasserstein form that of {cite:t}`gulrajani2017improved`.

    Args:
        student_scores: the critic's score of each of the student's answers, before any sigmoid.
        form: which game. Default ``non-saturating``: its gradient does not fade where the critic is sure, which is
            where the student starts.
        reduction: over examples.

    Returns:
        A value of at least 0 (``non-saturating``, ``least-squares``), at most 0 (``minimax``) or of any sign
        (``wasserstein``), the lower the more the critic is fooled.

    Raises:
        TypeError: the scores are no floating-point tensor.
        ValueError: they are not one number an example, or the form is unknown.

    Notes:
        The first two forms have the same fixed point. The critic is taken as it is: the engine keeps its weights out
        of the student's update.

    Example:
        >>> import torch
        >>> undecided = torch.zeros(3)
        >>> [round(gan_kd_loss(undecided, form=form).item(), 4) for form in ("non-saturating", "minimax")]
        [0.6931, -0.6931]
        >>> gan_kd_loss(undecided, form="least-squares").item()
        1.0
    """
    check_floating(student_scores=student_scores)
    check_dimensions("batch", student_scores=student_scores)
    check_choice("form", form, *CRITIC_OF)
    scores = at_least_float32(student_scores)
    match form:
        case "non-saturating":
            return reduce(F.softplus(-scores), reduction)
        case "minimax":
            return reduce(-F.softplus(scores), reduction)
        case "least-squares":
            return reduce((1 - scores).square(), reduction)
        case _:
            return reduce(-scores, reduction)


def gan_kd_critic_loss(
    student_scores: Float[Tensor, " batch"],
    teacher_scores: Float[Tensor, " batch"],
    *,
    form: CriticForm = "cross-entropy",
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Tell the teacher's answers from the student's.

    .. math::
        L_D = -\log D(v^t) - \log(1 - D(v^s)) \;\text{(cross-entropy)}, \quad
        L_D = (1 - s^t)^2 + (s^s)^2 \;\text{(least-squares)}, \quad L_D = s^s - s^t \;\text{(wasserstein)}

    Survey: si2023 eq. 10, put right (errata S-01, S-02).
    Paper: no single one; the game as {cite:t}`si2023` states it for distillation. Least squares are those of
    {cite:t}`chung2020afd`, the Wasserstein form that of {cite:t}`gulrajani2017improved`.

    Args:
        student_scores: the critic's score of each of the student's answers, before any sigmoid.
        teacher_scores: the same for the teacher's answers.
        form: which game. Default ``cross-entropy``: si2023's.
        reduction: over examples.

    Returns:
        A value of at least 0, ``2 log 2`` (``cross-entropy``) from a critic that cannot tell them apart;
        of any sign for ``wasserstein``, where lower is a larger distance.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: they are not one number an example, their numbers differ, or the form is unknown.

    Notes:
        Both scores carry a gradient to the critic. That the answers themselves are constants here is seen to by the
        caller, who detaches them before the critic reads them.
        The Wasserstein form is bounded only with a penalty on the critic's slope (`gradient_penalty`).

    Example:
        >>> import torch
        >>> undecided = torch.zeros(3)
        >>> round(gan_kd_critic_loss(undecided, undecided).item(), 4)
        1.3863
    """
    _check_scores(student_scores=student_scores, teacher_scores=teacher_scores)
    check_choice("form", form, "cross-entropy", "least-squares", "wasserstein")
    student, teacher = at_least_float32(student_scores), at_least_float32(teacher_scores)
    match form:
        case "cross-entropy":
            return reduce(F.softplus(-teacher) + F.softplus(student), reduction)
        case "least-squares":
            return reduce((1 - teacher).square() + student.square(), reduction)
        case _:
            return reduce(student - teacher, reduction)


def gan_kd_survey_loss(
    complement_scores: Float[Tensor, " batch"],
    teacher_scores: Float[Tensor, " batch"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Add up the critic's opinion of the teacher's answer and of one minus the student's.

    .. math::
        L = \log D(l_T) + \log D(1 - l_S), \quad D = \mathrm{sigmoid}(\text{score})

    Survey: si2023 eq. 10 as printed, which its eq. 9 adds to the student's task loss (errata S-01, S-02).
    Paper: none prints this form; {cite:t}`si2023`.

    Args:
        complement_scores: the critic's score of ``1 - l_S`` for each example, before the sigmoid.
        teacher_scores: its score of the teacher's answer.
        reduction: over examples.

    Returns:
        A value of at most 0, without a least one.

    Raises:
        TypeError: a tensor is not of a floating type.
        ValueError: they are not one number an example, or their numbers differ.

    Notes:
        A student that lowers it makes the critic doubt the complement of its own answer, and a critic that raises it
        calls everything real: nothing is told apart. The teacher's part does not move the student. It is here
        to be set beside `gan_kd_loss`, and no method trains with it.

    Example:
        >>> import torch
        >>> undecided = torch.zeros(3)
        >>> round(gan_kd_survey_loss(undecided, undecided).item(), 4)
        -1.3863
    """
    _check_scores(complement_scores=complement_scores, teacher_scores=teacher_scores)
    complement, teacher = at_least_float32(complement_scores), at_least_float32(teacher_scores)
    return reduce(-F.softplus(-teacher) - F.softplus(-complement), reduction)


def _check_scores(**scores: Tensor) -> None:
    check_floating(**scores)
    check_same_shape(**scores)
    check_dimensions("batch", **scores)


class GANKD(Method):
    """`gan_kd_loss` beside the labels, against a critic of the answers with an optimiser of its own.

    Args:
        classes: size of an answer.
        hidden: size of the critic's two layers. Default 128, ours.
        form: the student's side of the game; the critic plays the other side of the same one. The Wasserstein game
            needs a penalty and is left to schemes.
        critic_rate: learning rate of the critic, of Adam. Default 1e-3, ours: at the rates of a classifier
            the game runs away.
        of: what the critic reads, ``probabilities`` or ``logits``. Default ``probabilities``: si2023's one minus l
            takes l for some, and a critic of scores, which have no bound, tears a student from its labels. Features
            are read by `FeatureDiscriminatorKD` and `ANC`.
        weight: of the student's side. Default 1: si2023 eq. 9 adds it unweighted.
    """

    def __init__(
        self,
        classes: int,
        *,
        hidden: int = 128,
        form: Literal["non-saturating", "minimax", "least-squares"] = "non-saturating",
        of: Literal["probabilities", "logits"] = "probabilities",
        critic_rate: float = 1e-3,
        weight: float = 1.0,
    ):
        super().__init__()
        refuse_out_of_range(above_zero={"hidden": hidden, "critic_rate": critic_rate}, weight=weight)
        if form not in ("non-saturating", "minimax", "least-squares"):
            raise Refusal(f"form must be 'non-saturating', 'minimax' or 'least-squares', got {form!r}")
        if of not in ("probabilities", "logits"):
            raise Refusal(f"of must be 'probabilities' or 'logits', got {of!r}")
        self.form, self.of, self.critic_rate, self.weight = form, of, critic_rate, weight
        self.critic = Critic(classes, hidden, hidden)

    @classmethod
    def build(cls, setting: Setting, **settings: Any) -> Self:
        return cls(setting.classes, **settings)

    def critics(self) -> list[nn.Module]:
        return [self.critic]

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        return {"gan_kd": Term(gan_kd_loss(self.critic(self._answer(student)), form=self.form), self.weight)}

    def critic_losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        scores = judged_apart(self.critic, self._answer(student), self._answer(teacher))
        return {"critic": Term(gan_kd_critic_loss(*scores, form=CRITIC_OF[self.form]))}

    def _answer(self, outputs: Outputs) -> Tensor:
        """One row an example; every position of a text is one."""
        rows = outputs.logits.flatten(0, -2)
        return rows if self.of == "logits" else at_least_float32(rows).softmax(1)


ENTRIES = (Entry("gan-kd", "loss", GANKD, {}, "si2023 eq. 9 and 10 put right", 2),)
