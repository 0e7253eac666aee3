"""Three players: a classifier and a teacher who both invent labels, and a discriminator who knows the true ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.losses._common import at_least_float32, refuse_other, refuse_out_of_range
from kdcore.recipe import Recipe
from kdcore.types import Batch, Entry, Outputs, Refusal, Scheme, Stage, Term, Update

Form = Literal["concrete", "sampled"]
Distillation = Literal["logits", "softened"]
WARM, COLD = 10.0, 0.1  # temperatures of invented labels, first and last: the authors' code


def concrete(
    logits: Float[Tensor, "batch classes"], random: torch.Generator, *, temperature: float
) -> Float[Tensor, "batch classes"]:
    r"""Labels drawn from an answer, softened so that a gradient passes through them.

    .. math::
        \tilde y = \mathrm{softmax}\left( \frac{\log p + g}{\tau} \right), \quad g = -\log(-\log u), \; u \sim U(0, 1)

    Example:
        >>> sharp = concrete(torch.tensor([[9.0, 0.0]]), torch.Generator().manual_seed(0), temperature=0.1)
        >>> [round(value, 3) for value in sharp[0].tolist()]
        [1.0, 0.0]
    """
    scores = at_least_float32(logits).log_softmax(1)
    return ((scores + _gumbel(scores.shape, random, scores)) / temperature).softmax(1)


@torch.no_grad()
def drawn(
    logits: Float[Tensor, "batch classes"], random: torch.Generator, *, draws: int
) -> Float[Tensor, "batch classes"]:
    """How often each class comes when so many are drawn from an answer, as shares.

    Example:
        >>> drawn(torch.tensor([[99.0, 0.0]]), torch.Generator().manual_seed(0), draws=4).tolist()
        [[1.0, 0.0]]
    """
    scores = at_least_float32(logits).log_softmax(1)
    chosen = (scores + _gumbel((draws, *scores.shape), random, scores)).argmax(2)
    return F.one_hot(chosen, scores.shape[1]).to(scores.dtype).mean(0)


def _gumbel(shape: tuple[int, ...], random: torch.Generator, like: Tensor) -> Tensor:
    """Noise with which the largest score is a draw in proportion to its probability."""
    uniform = torch.rand(shape, generator=random, device=like.device, dtype=like.dtype)
    return -(-uniform.clamp_min(torch.finfo(like.dtype).tiny).log()).log()


class KDGAN(Scheme):
    r"""Classifier and teacher fool a discriminator of image and label together, and distil each other.

    .. math::
        \min_{c, t} \max_d \; \mathbb E_{y \sim p_u} \ln d(x, y) + \alpha \, \mathbb E_{y \sim p_c} \ln(1 - d(x, y))
        + (1 - \alpha) \, \mathbb E_{y \sim p_t} \ln(1 - d(x, y)) + \beta L_c(p_c, p_t) + \gamma L_t(p_t, p_c)

    :math:`d(x, y) = \mathrm{sigmoid}(\langle s(x), y \rangle)` with s the discriminator's scores, one a class. The
    classifier is the student. Labels are drawn from both answers; with ``concrete`` they are softened draws through
    which the discriminator's gradient reaches the network that drew them, at a temperature that falls geometrically
    from 10 to 0.1.

    In ``pretrain`` each of the three learns the labels; in ``main`` discriminator, teacher and student take turns.

    Survey: huang2022 section 6.1: both networks are the generator.
    Paper: {cite:t}`wang2018kdgan`, by its abstract, an account of it and the authors' code; the weights are those of
    the code's run on 100 images, the formula is put together from these.

    Args:
        student: the classifier; it is delivered and ranked.
        teacher: a larger network, or one that sees more; it learns too.
        discriminator: a network whose logits score image and class together.
        privileged: the view that teacher and discriminator see, the student always sees ``weak``. Default ``weak``:
            in the paper's compression of networks the teacher's privilege is its size.
        form: ``concrete``, the paper's, or ``sampled``, the authors' released code: classes are drawn, and a network's
            logit of each is pushed to the discriminator's opinion of it by a cross-entropy. Default ``concrete``.
        draws: labels invented for each image with ``sampled``. Default 25: the code's 5 and 20.
        distillation: ``logits``, half the squared distance of logits, or ``softened``, a cross-entropy with the labels
            at 0.7 and a mean squared difference of logits at 0.3. Default ``logits``: the code's ``mimic``.
        share: of the pretraining. Default 1 / 2, ours.
        slower: rate of the game, as a share of the run's. Default 0.1, ours: a squared distance of logits is steep.
        teacher_share: 1 - alpha. Default 0.9.
        student_weight: beta, of what the classifier distils. Default 2.
        teacher_weight: gamma, of what the teacher distils. Default 1e-4.
        weight: of all that the discriminator says to both. Default 1.
        recipe: of the run, which the game slows down; without it the game takes the run's as it is.

    Raises:
        Refusal: a setting is out of its range, two players are one network, or the task has no classes.

    Notes:
        The code trains twenty epochs of the discriminator, ten of the teacher and ten of the classifier in turn; here
        each step has one update of each, all on one batch.
        A cross-entropy with the true labels is in the ``softened`` distillation alone, as in the code. The code's
        discriminator sees five true labels for twenty invented ones, here both sides are means.
        In its turn a player asks the other two in train mode without a graph, so batch norms see more batches.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        discriminator: nn.Module,
        *,
        privileged: str = "weak",
        form: Form = "concrete",
        draws: int = 25,
        distillation: Distillation = "logits",
        share: float = 0.5,
        slower: float = 0.1,
        teacher_share: float = 0.9,
        student_weight: float = 2.0,
        teacher_weight: float = 1e-4,
        weight: float = 1.0,
        recipe: Recipe | None = None,
    ):
        super().__init__()
        if len({id(player) for player in (student, teacher, discriminator)}) < 3:
            raise Refusal("the three players must be three networks, one was given twice")
        above_zero = {"draws": draws, "share": share, "slower": slower}
        weights = {"student_weight": student_weight, "teacher_weight": teacher_weight, "weight": weight}
        refuse_out_of_range(above_zero=above_zero, teacher_share=teacher_share, **weights)
        if teacher_share > 1:
            raise Refusal(f"teacher_share must lie in [0, 1], got {teacher_share:g}")
        for name, value, *allowed in (
            ("form", form, "concrete", "sampled"),
            ("distillation", distillation, "logits", "softened"),
        ):
            refuse_other(name, value, *allowed)
        self.student, self.teacher, self.discriminator = student, teacher, discriminator
        self.privileged, self.form, self.draws, self.distillation = privileged, form, draws, distillation
        self.share, self.teacher_share, self.weight = share, teacher_share, weight
        self.recipe = recipe and replace(recipe, learning_rate=slower * recipe.learning_rate)
        self.student_weight, self.teacher_weight = student_weight, teacher_weight

    @classmethod
    def build(
        cls,
        bench: Any,
        *,
        teacher_network: str | None = None,
        discriminator_network: str | None = None,
        **settings: Any,
    ) -> Self:
        """From a bench: three networks of the row's student architecture, or of those that are named."""
        if bench.data.targets.ndim != 1:
            raise Refusal(f"kdgan invents one class an image, got targets of {tuple(bench.data.targets.shape)}")
        named = {"teacher": teacher_network, "discriminator": discriminator_network}
        others = (bench.network(role, name) for role, name in named.items())
        return cls(bench.network("student"), *others, recipe=bench.recipe, **settings)

    def stages(self) -> list[Stage]:
        players = {"student": self.student, "teacher": self.teacher, "discriminator": self.discriminator}
        first = [Update(name, [player], self._labels_of(player)) for name, player in players.items()]
        turns = {"discriminator": self._judged, "teacher": self._taught, "student": self._classified}
        main = [Update(name, [players[name]], losses, self.recipe) for name, losses in turns.items()]
        return [Stage("pretrain", first, share=self.share), Stage("main", main)]

    def _labels_of(self, player: nn.Module) -> Any:
        return lambda batch: {"task": Term(batch.task.loss(self._said(player, batch), batch))}

    def _said(self, player: nn.Module, batch: Batch) -> Outputs:
        return batch.outputs(player, "weak" if player is self.student else self.privileged)

    def _logits(self, player: nn.Module, batch: Batch) -> Tensor:
        return at_least_float32(self._said(player, batch).logits)

    @torch.no_grad()
    def _constant(self, player: nn.Module, batch: Batch) -> Tensor:
        return self._logits(player, batch)

    def _judged(self, batch: Batch) -> dict[str, Term]:
        """True pairs of image and label against the pairs that the other two invent."""
        scores = self._logits(self.discriminator, batch)
        true = F.one_hot(batch.targets, scores.shape[1]).to(scores.dtype)
        terms = {"true": Term(self._disbelief(scores, true, -1))}
        for name, share in (("student", 1 - self.teacher_share), ("teacher", self.teacher_share)):
            invented = self._invented(f"judged {name}", self._constant(getattr(self, name), batch), batch)
            terms[f"{name}s"] = Term(self._disbelief(scores, invented, 1), share)
        return terms

    def _classified(self, batch: Batch) -> dict[str, Term]:
        mine, theirs = self._logits(self.student, batch), self._constant(self.teacher, batch)
        fooled = Term(self._fooled("student", mine, batch), self.weight * (1 - self.teacher_share))
        return {"fool": fooled, "distil": Term(self._distilled(mine, theirs, batch), self.student_weight)}

    def _taught(self, batch: Batch) -> dict[str, Term]:
        mine, theirs = self._logits(self.teacher, batch), self._constant(self.student, batch)
        fooled = Term(self._fooled("teacher", mine, batch), self.weight * self.teacher_share)
        return {"fool": fooled, "distil": Term(self._distilled(mine, theirs, batch), self.teacher_weight)}

    def _fooled(self, name: str, logits: Tensor, batch: Batch) -> Tensor:
        scores = self._constant(self.discriminator, batch)
        invented = self._invented(name, logits, batch)
        if self.form == "concrete":
            return self._disbelief(scores, invented, -1)
        apart = F.binary_cross_entropy_with_logits(logits, scores.sigmoid(), reduction="none")
        return (invented * apart).sum(1).mean()

    def _invented(self, stream: str, logits: Tensor, batch: Batch) -> Tensor:
        """One soft label an image, or the shares of several that were drawn."""
        random = batch.generator(f"kdgan {stream}")
        if self.form == "sampled":
            return drawn(logits, random, draws=self.draws)
        return concrete(logits, random, temperature=self.temperature_at(batch.clock.progress))

    def _disbelief(self, scores: Tensor, labels: Tensor, sign: int) -> Tensor:
        """Minus the logarithm of d (sign -1) or of 1 - d (sign 1), of soft labels or of each that was drawn."""
        if self.form == "concrete":
            return F.softplus(sign * (scores * labels).sum(1)).mean()
        return (labels * F.softplus(sign * scores)).sum(1).mean()

    def _distilled(self, mine: Tensor, theirs: Tensor, batch: Batch) -> Tensor:
        squares = (mine - theirs).square()
        if self.distillation == "logits":
            return squares.sum(1).mean() / 2
        return 0.7 * F.cross_entropy(mine, batch.targets) + 0.3 * squares.mean()

    @staticmethod
    def temperature_at(progress: float) -> float:
        """Of the invented labels, where `progress` of the game is done."""
        return WARM * (COLD / WARM) ** progress

    def delivers(self) -> dict[str, nn.Module]:
        return {"student": self.student, "teacher": self.teacher}


ENTRIES = (
    Entry("kdgan", "scheme", KDGAN, {}, "NeurIPS 2018, softened draws"),
    Entry("kdgan-sampled", "scheme", KDGAN, {"form": "sampled"}, "the authors' code, drawn classes"),
)
