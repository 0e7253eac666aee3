"""A critic that is asked two questions about an answer: whose it is, and to which class."""

from __future__ import annotations

from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore._typing import Float, Int
from kdcore.losses._common import (
    Reduction,
    at_least_float32,
    check_dimensions,
    check_floating,
    check_logits,
    check_same_shape,
    check_targets,
    reduce,
    refuse_out_of_range,
)
from kdcore.losses.adversarial.critics import ClassCritic
from kdcore.losses.adversarial.game import gan_kd_critic_loss, gan_kd_loss
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term


def cgan_kd_loss(
    student_scores: Float[Tensor, " batch"],
    student_class_scores: Float[Tensor, "batch classes"],
    targets: Int[Tensor, " batch"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Pass for the teacher in the eyes of a critic that must also see the right class in the answer.

    .. math::
        L = -\log D(v^s) - \log C_y(v^s), \quad D = \mathrm{sigmoid}(s), \; C = \mathrm{softmax}(c)

    where the critic reads the answer :math:`v^s` and says a score s and one score a class, c.

    Survey: si2023 section 2.3.5, in words.
    Paper: {cite:t}`xu2018conditional`, the adversarial and the category term of its student; the others are the
        method's.

    Args:
        student_scores: the critic's score of each of the student's answers, before the sigmoid.
        student_class_scores: its scores of the classes, for the same answers.
        targets: the true class of each example.
        reduction: over examples.

    Returns:
        A value of at least 0, 0 where the critic is sure of both: that it sees the teacher, and the true class.

    Raises:
        TypeError: scores are not of a floating type, or the targets are no whole numbers.
        ValueError: shapes do not fit together, or a target is no class.

    Notes:
        Without the second term a student may imitate what the teacher says of some class whatever the image shows;
        with it the two networks' answers are compared within classes.

    Example:
        >>> import torch
        >>> undecided = torch.zeros(3), torch.zeros(3, 4), torch.tensor([0, 1, 3])
        >>> round(cgan_kd_loss(*undecided).item(), 4)  # log 2 + log 4
        2.0794
    """
    _check(student_scores, student_class_scores, targets)
    category = _category(student_class_scores, targets)
    return reduce(gan_kd_loss(student_scores, reduction="none") + category, reduction)


def cgan_kd_critic_loss(
    student_scores: Float[Tensor, " batch"],
    teacher_scores: Float[Tensor, " batch"],
    student_class_scores: Float[Tensor, "batch classes"],
    teacher_class_scores: Float[Tensor, "batch classes"],
    targets: Int[Tensor, " batch"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, " ..."]:
    r"""Tell whose answer it is and to which class, for both networks' answers.

    .. math::
        L_D = -\log D(v^t) - \log(1 - D(v^s)) - \log C_y(v^t) - \log C_y(v^s)

    Survey: si2023 section 2.3.5, in words.
    Paper: {cite:t}`xu2018conditional`, the objective of its discriminator, with the sign turned round.

    Args:
        student_scores: the critic's score of each of the student's answers, before the sigmoid.
        teacher_scores: the same for the teacher's answers.
        student_class_scores: its scores of the classes, for the student's answers.
        teacher_class_scores: the same for the teacher's answers.
        targets: the true class of each example.
        reduction: over examples.

    Returns:
        A value of at least 0; ``2 log 2 + 2 log classes`` from a critic that knows nothing.

    Raises:
        TypeError: scores are not of a floating type, or the targets are no whole numbers.
        ValueError: shapes do not fit together, or a target is no class.

    Notes:
        The class is learned from the student's answers too, as in an auxiliary-classifier game. All scores carry a
        gradient to the critic; the answers themselves are detached by the caller.

    Example:
        >>> import torch
        >>> scores, classes = torch.zeros(3), torch.zeros(3, 4)
        >>> value = cgan_kd_critic_loss(scores, scores, classes, classes, torch.tensor([0, 1, 3]))
        >>> round(value.item(), 4)  # 2 log 2 + 2 log 4
        4.1589
    """
    _check(student_scores, student_class_scores, targets)
    check_same_shape(student_class_scores=student_class_scores, teacher_class_scores=teacher_class_scores)
    whose = gan_kd_critic_loss(student_scores, teacher_scores, reduction="none")
    categories = _category(student_class_scores, targets) + _category(teacher_class_scores, targets)
    return reduce(whose + categories, reduction)


def _category(class_scores: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(at_least_float32(class_scores), targets, reduction="none")


def _check(scores: Tensor, class_scores: Tensor, targets: Tensor) -> None:
    check_floating(student_scores=scores)
    check_dimensions("batch", student_scores=scores)
    check_logits(student_class_scores=class_scores)
    if len(scores) != len(class_scores):
        raise ValueError(
            "student_scores and student_class_scores must be of the same examples, "
            f"got {len(scores)} and {len(class_scores)} of them"
        )
    check_targets(targets, class_scores)


class CGANKD(Method):
    """`cgan_kd_loss` and the absolute difference of the logits, beside the labels, against a critic of two answers.

    The critic reads logits and nothing else; the class is what it predicts and no input of it. Its three parts for
    the student are logged under their own names: ``adversarial``, ``category``, ``instance``.

    Args:
        classes: size of an answer.
        hidden: size of the critic's two hidden layers. Default 128, ours; that it is a perceptron of three layers is
            the paper's.
        critic_rate: learning rate of the critic, of Adam. Default 1e-3, ours: at the rates of a classifier
            the game runs away.
        instance_weight: of the sum over classes of absolute differences between both networks' logits, the term
            that compares answer with answer. Default 1, ours.
        weight: of the adversarial and the category term. Default 1, ours: of the paper we could read an account of
            its terms and not its weights.
    """

    def __init__(
        self,
        classes: int,
        *,
        hidden: int = 128,
        critic_rate: float = 1e-3,
        instance_weight: float = 1.0,
        weight: float = 1.0,
    ):
        super().__init__()
        above_zero = {"hidden": hidden, "critic_rate": critic_rate}
        refuse_out_of_range(above_zero=above_zero, instance_weight=instance_weight, weight=weight)
        self.critic_rate, self.instance_weight, self.weight = critic_rate, instance_weight, weight
        self.critic = ClassCritic(classes, classes, hidden)

    @classmethod
    def build(cls, setting: Setting, **settings: Any) -> Self:
        if setting.student.logits.ndim != 2:
            raise Refusal(
                "cgan-kd conditions on one class an example, so it needs logits of shape (batch, classes), "
                f"got {tuple(setting.student.logits.shape)}"
            )
        return cls(setting.classes, **settings)

    def critics(self) -> list[nn.Module]:
        return [self.critic]

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        score, classes = self.critic(student.logits)
        difference = at_least_float32(student.logits) - at_least_float32(teacher.logits.detach())
        return {
            "adversarial": Term(gan_kd_loss(score), self.weight),
            "category": Term(_category(classes, batch.targets).mean(), self.weight),
            "instance": Term(difference.abs().sum(1).mean(), self.instance_weight),
        }

    def critic_losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        scores, classes = self.critic(torch.cat([student.logits.detach(), teacher.logits.detach()]))
        mine, size = slice(None, len(batch.index)), slice(len(batch.index), None)
        judged = scores[mine], scores[size], classes[mine], classes[size]
        return {"critic": Term(cgan_kd_critic_loss(*judged, batch.targets))}


ENTRIES = (Entry("cgan-kd", "loss", CGANKD, {}, "ICLR workshop 2018: whose answer, and to which class"),)
