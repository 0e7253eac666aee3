"""Adversarial compression: a critic of embeddings that is kept from winning too easily, and no labels."""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from kdcore.losses._common import at_least_float32, refuse_out_of_range
from kdcore.losses.adversarial.critics import Critic, judged_apart
from kdcore.losses.adversarial.game import gan_kd_critic_loss, gan_kd_loss
from kdcore.losses.response.regression import logit_mse_loss
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

Regularizer = Literal["adversarial", "l1", "l2", "none"]
REGULARIZERS = ("adversarial", "l1", "l2", "none")


class ANC(Method):
    r"""The embedding passes for the teacher's before a restrained critic, the logits are regressed, no label is read.

    .. math::
        L_S = -\log D(\tilde f^s) + \lambda \lVert z^s - z^t \rVert^2, \qquad
        L_D = -\log D(f^t) - \log(1 - D(f^s)) + \mu R

    :math:`\tilde f^s` is the embedding with entries dropped at random. R keeps the critic from being trivially strong:
    ``adversarial`` shows it dropped embeddings under the teacher's label, :math:`R = -\log D(\tilde f^s)`; ``l1`` and
    ``l2`` are the mean absolute and squared weight of the critic.

    Survey: huang2022 section 6.1 (it speaks of intermediate features of several networks; the critic reads the last
    one before the classifier).
    Paper: {cite:t}`belagiannis2018anc`. Its parts are the inventory's and those of a public reimplementation that we
    read; its numbers we could not read, so the defaults are ours.

    Args:
        student: size of the student's embedding; where it is not the teacher's, a linear layer that learns with the
            student brings it there.
        teacher: size of the teacher's.
        hidden: sizes of the critic's hidden layers. Default 128 and 128, ours.
        dropout: share of the student's embedding that is dropped, in [0, 1). Default 0.5: the reimplementation's.
        regularizer: what R is. Default ``adversarial``: the reimplementation's third and the inventory's.
        regularizer_weight: mu. Default 1, ours.
        critic_rate: learning rate of the critic, of Adam. Default 1e-3, ours: at the rates of a classifier
            the game runs away.
        logit_weight: lambda, of the mean squared difference of logits. Default 1, ours.
        weight: of the adversarial term. Default 1, ours.
        task_weight: of the labels. Default 0: the paper uses none.

    Notes:
        The reimplementation subtracts its norms of the weights from the critic's loss, which makes them grow; here
        they are added.
        The mask of dropped entries is drawn from the batch's stream, once for both sides of a step.
    """

    def __init__(
        self,
        student: int,
        teacher: int,
        *,
        hidden: tuple[int, ...] = (128, 128),
        dropout: float = 0.5,
        regularizer: Regularizer = "adversarial",
        regularizer_weight: float = 1.0,
        critic_rate: float = 1e-3,
        logit_weight: float = 1.0,
        weight: float = 1.0,
        task_weight: float = 0.0,
    ):
        super().__init__()
        weights = {"regularizer_weight": regularizer_weight, "logit_weight": logit_weight}
        above_zero = {"critic_rate": critic_rate}
        refuse_out_of_range(above_zero=above_zero, dropout=dropout, weight=weight, task_weight=task_weight, **weights)
        if dropout >= 1:
            raise Refusal(f"dropout must lie in [0, 1), got {dropout:g}")
        if regularizer not in REGULARIZERS:
            raise Refusal(f"regularizer must be one of {', '.join(REGULARIZERS)}, got {regularizer!r}")
        self.dropout, self.regularizer, self.regularizer_weight = dropout, regularizer, regularizer_weight
        self.critic_rate, self.logit_weight = critic_rate, logit_weight
        self.weight, self.task_weight = weight, task_weight
        self.adapter = nn.Linear(student, teacher) if student != teacher else nn.Identity()
        self.critic = Critic(teacher, *hidden)

    @classmethod
    def build(cls, setting: Setting, **settings: Any) -> Self:
        sizes = []
        for whose, said in (("student", setting.student), ("teacher", setting.teacher)):
            if said.embedding is None or said.embedding.ndim != 2:
                raise Refusal(f"anc compares embeddings, one vector an example, and the {whose} names none")
            sizes.append(said.embedding.shape[1])
        return cls(*sizes, **settings)

    def critics(self) -> list[nn.Module]:
        return [self.critic]

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        fooled = gan_kd_loss(self.critic(self._dropped(student, batch)))
        return {
            "anc": Term(fooled, self.weight),
            "anc_logits": Term(logit_mse_loss(student.logits, teacher.logits), self.logit_weight),
        }

    def critic_losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        scores = judged_apart(self.critic, self.adapter(student.embedding), teacher.embedding)
        terms = {"critic": Term(gan_kd_critic_loss(*scores))}
        if self.regularizer != "none":
            terms["regularizer"] = Term(self._restraint(student, batch), self.regularizer_weight)
        return terms

    def _restraint(self, student: Outputs, batch: Batch) -> Tensor:
        if self.regularizer == "adversarial":
            return gan_kd_loss(self.critic(self._dropped(student, batch).detach()))
        weights = torch.cat([weight.flatten() for weight in self.critic.parameters()])
        return weights.abs().mean() if self.regularizer == "l1" else weights.square().mean()

    def _dropped(self, student: Outputs, batch: Batch) -> Tensor:
        """The student's embedding as a noisy one, in the teacher's size."""
        embedding = at_least_float32(student.embedding)
        if not self.critic.training or not self.dropout:  # a method as a whole has no mode of its own in the engine
            return self.adapter(embedding)
        random = batch.generator("anc")
        kept = torch.rand(embedding.shape, generator=random, device=embedding.device) >= self.dropout
        return self.adapter(embedding * kept / (1 - self.dropout))


ENTRIES = (Entry("anc", "loss", ANC, {}, "ECCV workshop 2018, without labels"),)
