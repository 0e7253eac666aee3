"""A student that is a generator of features, and a discriminator that assists its teacher."""

from __future__ import annotations

from typing import Any, Literal, Self

from torch import Tensor, nn

from kdcore.losses._common import refuse_out_of_range
from kdcore.losses.adversarial.critics import Critic, judged_apart
from kdcore.losses.adversarial.game import gan_kd_critic_loss, gan_kd_loss
from kdcore.losses.response.distillation import kd_loss
from kdcore.randomness import seeded
from kdcore.schemes._probe import answer
from kdcore.schemes._rates import steady
from kdcore.types import Batch, Entry, Outputs, Refusal, Scheme, Stage, Term, Update, take


class PortableStudent(Scheme):
    r"""Labels, softened answers, and an assistant that tells the student's features from the teacher's.

    .. math::
        L_S = \mathrm{CE}(y, p^s) + w_1 T^2 \, \mathrm{KL}(p^t \,\|\, p^s) - w_2 \ln D(f^s), \qquad
        L_D = -\ln D(f^t) - \ln(1 - D(f^s))

    The student is the generator and has no noise to start from: an image is what it is given. The assistant has an
    optimiser of its own and reads features, so that the student need not meet its teacher's feature of each image,
    only pass for it.

    Survey: huang2022 section 5.3, Fig. 10: the discriminator is a teaching assistant.
    Paper: {cite:t}`wang2018portable`, by its abstract; the sum of three terms is the inventory's, sizes and weights
    are ours.

    Args:
        student: the network that is delivered.
        teacher: a finished network; it is frozen, put in eval mode, and not part of this scheme's state.
        sample: a few inputs, from which sizes of both networks' answers are read.
        of: what the assistant reads, ``features`` (the embedding before the classifier) or ``outputs`` (logits).
            Default ``features``: the abstract's.
        hidden: size of each of the assistant's two hidden layers. Default 128, ours.
        temperature: of the softened answers, above 0. Default 4: what comparisons of distillation take.
        kd_weight: w_1. Default 1, ours.
        assistant_rate: learning rate of the assistant, of Adam. Default 1e-3, ours.
        weight: w_2. Default 0.1, ours.

    Raises:
        Refusal: a network names no embedding, or a setting is out of its range.

    Notes:
        Where embeddings differ in size, a linear layer that learns with the student brings its own to the teacher's.
        The assistant sees the answer that the student gave in the same step, before its update.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        *,
        sample: Any,
        of: Literal["features", "outputs"] = "features",
        hidden: int = 128,
        temperature: float = 4.0,
        kd_weight: float = 1.0,
        assistant_rate: float = 1e-3,
        weight: float = 0.1,
    ):
        super().__init__()
        above_zero = {"hidden": hidden, "temperature": temperature, "assistant_rate": assistant_rate}
        refuse_out_of_range(above_zero=above_zero, kd_weight=kd_weight, weight=weight)
        if of not in ("features", "outputs"):
            raise Refusal(f"of must be 'features' or 'outputs', got {of!r}")
        self.of, self.temperature, self.kd_weight, self.weight = of, temperature, kd_weight, weight
        mine, theirs = (self._size(*one, sample) for one in (("student", student), ("teacher", teacher)))
        self.student, self.outside = student, (teacher.eval().requires_grad_(False),)
        self.adapter = nn.Linear(mine, theirs) if mine != theirs else nn.Identity()
        self.assistant = Critic(theirs, hidden, hidden)
        self.recipe = steady(assistant_rate)

    @classmethod
    def build(cls, bench: Any, **settings: Any) -> Self:
        if bench.teacher is None:
            raise Refusal("adversarial-portable-student matches a teacher, and the row has none")
        networks = bench.network("student"), bench.teacher
        make = lambda: cls(*networks, sample=take(bench.data.inputs, slice(0, 2)), **settings)
        return seeded(make, bench.seed, "init", "adversarial-portable-student").to(bench.data.device)

    def _size(self, whose: str, network: nn.Module, sample: Any) -> int:
        read = self._read(answer(network, sample))
        if read is None or read.ndim != 2:
            raise Refusal(f"the assistant reads one vector an image, and the {whose} gives none of its {self.of}")
        return read.shape[1]

    def stages(self) -> list[Stage]:
        student = Update("student", [self.student, self.adapter], self._learn)
        return [Stage("main", [student, Update("assistant", [self.assistant], self._assist, self.recipe)])]

    def _learn(self, batch: Batch) -> dict[str, Term]:
        student, teacher = batch.outputs(self.student), batch.outputs(*self.outside)
        mine = self.adapter(self._read(student))
        self._shown = mine.detach()  # what the assistant sees later in the same step
        softened = kd_loss(student.logits, teacher.logits, temperature=self.temperature)
        return {
            "task": Term(batch.task.loss(student, batch)),
            "kd": Term(softened, self.kd_weight),
            "fool": Term(gan_kd_loss(self.assistant(mine)), self.weight),
        }

    def _assist(self, batch: Batch) -> dict[str, Term]:
        scores = judged_apart(self.assistant, self._shown, self._read(batch.outputs(*self.outside)))
        return {"assistant": Term(gan_kd_critic_loss(*scores))}

    def _read(self, said: Outputs) -> Tensor | None:
        return said.logits if self.of == "outputs" else said.embedding

    def delivers(self) -> dict[str, nn.Module]:
        return {"student": self.student}


ENTRIES = (
    Entry("adversarial-portable-student", "scheme", PortableStudent, {}, "AAAI 2018, the critic as an assistant"),
)
