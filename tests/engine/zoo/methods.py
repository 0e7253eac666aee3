"""Methods that make one kind of demand each."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.types import Batch, Method, Outputs, Stage, Term, Update


def imitation(student: Tensor, teacher: Tensor, temperature: float = 2.0) -> Tensor:
    log_p, log_q = ((logits.float() / temperature).log_softmax(-1) for logits in (teacher.detach(), student))
    return temperature**2 * F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


class Soft(Method):
    """The plainest: one term, nothing of its own."""

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        return {"soft": Term(imitation(student.logits, teacher.logits), 0.9)}


class Bank(Method):
    """A memory of all samples, negatives drawn from it, a constant that the first step fixes."""

    def __init__(self, student_size: int, teacher_size: int, samples: int, size: int = 5):
        super().__init__()
        self.mine, self.theirs = nn.Linear(student_size, size), nn.Linear(teacher_size, size)
        self.register_buffer("bank", F.normalize(torch.randn(samples, size), dim=1))
        self.register_buffer("scale", torch.zeros(()))

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        mine, theirs = F.normalize(self.mine(student.embedding)), F.normalize(self.theirs(teacher.embedding))
        drawn = torch.randint(len(self.bank), (len(mine), 7), generator=batch.generator("negatives"))
        others = self.bank[drawn].clone()  # the bank is written below
        away = torch.einsum("bd,bnd->bn", mine, others)
        scores = torch.cat([(mine * theirs).sum(1, keepdim=True), away], 1) / 0.2
        with torch.no_grad():
            if self.scale == 0:
                self.scale.copy_(away.exp().mean())
            self.bank[batch.index] = F.normalize(0.7 * self.bank[batch.index] + 0.3 * theirs)
        return {"bank": Term(-scores.log_softmax(1)[:, 0].mean() / self.scale, 0.1)}


class TwoViews(Method):
    """Teacher and student are asked about another view of the same images."""

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        rough, known = student.view("strong"), teacher.view("strong")
        return {
            "rough_task": Term(batch.task.loss(rough, batch), lambda progress: 1 - progress),
            "within": Term(imitation(rough.logits, known.logits)),
            "across": Term(imitation(rough.logits, teacher.logits), 0.5),
        }


class Fooled(Method):
    """A critic that tells student from teacher, trained by an update of its own."""

    def __init__(self, classes: int):
        super().__init__()
        self.critic = nn.Sequential(nn.Linear(classes, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1))

    def critics(self) -> list[nn.Module]:
        return [self.critic]

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        return {"fool": Term(F.softplus(-self.critic(student.logits)).mean(), 0.2)}

    def critic_losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        true, false = self.critic(teacher.logits), self.critic(student.logits)
        return {"tell": Term(F.softplus(-true).mean() + F.softplus(false).mean())}


class Hinted(Method):
    """The lower half and an adapter learn first, in a stage of half the length."""

    def __init__(self, student_channels: int, teacher_channels: int):
        super().__init__()
        self.adapter = nn.Conv2d(student_channels, teacher_channels, 1)

    def preparation(self, student: nn.Module, teacher: nn.Module) -> list[Stage]:
        def losses(batch: Batch) -> dict[str, Term]:
            hint, guess = batch.outputs(teacher).features[0], batch.outputs(student).features[0]
            return {"hint": Term(F.mse_loss(self.adapter(guess), hint))}

        return [Stage("hint", [Update("hint", [student.low, student.low_norm, self.adapter], losses)], share=0.5)]

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        return {"soft": Term(imitation(student.logits, teacher.logits), lambda progress: 4 * (1 - progress))}


class Slopes(Method):
    """Matches what the inputs do to the answer: a gradient inside a loss."""

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        images = batch.inputs.detach().clone().requires_grad_()

        def slope(answer: Outputs, keep: bool) -> Tensor:
            best = answer.ask(images).logits.amax(1).sum()
            return F.normalize(torch.autograd.grad(best, images, create_graph=keep)[0].flatten(1))

        with torch.enable_grad():
            wanted = slope(teacher, False)
        return {"slopes": Term((slope(student, True) - wanted).square().sum(1).mean())}
