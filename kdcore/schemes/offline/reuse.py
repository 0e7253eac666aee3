"""The student learns to speak to the teacher's classifier, and keeps it."""

from __future__ import annotations

from typing import Any, Self

import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.losses._common import refuse_out_of_range
from kdcore.losses.feature._norms import SteadyNorm2d
from kdcore.losses.feature._stages import named_stages
from kdcore.losses.feature.classifier import classifier_of
from kdcore.losses.feature.hints import fitnet_loss
from kdcore.randomness import seeded
from kdcore.schemes.progressive._parts import reached
from kdcore.types import Batch, Entry, Outputs, Refusal, Scheme, Stage, Term, Update, take


class Projector(nn.Sequential):
    """From the student's last map to the teacher's: a narrow convolution of nine pixels between two of one.

    Args:
        student: channels of the student's map.
        teacher: of the teacher's.
        factor: how much narrower the middle is than the teacher's map.
    """

    def __init__(self, student: int, teacher: int, factor: int):
        narrow = max(1, teacher // factor)
        layers: list[nn.Module] = []
        for inside, outside, size in ((student, narrow, 1), (narrow, narrow, 3), (narrow, teacher, 1)):
            convolution = nn.Conv2d(inside, outside, size, padding=size // 2, bias=False)
            layers += [convolution, SteadyNorm2d(outside), nn.ReLU()]
        super().__init__(*layers)


class Reusing(nn.Module):
    """A network as it is delivered: the student up to its last map, the projector, the teacher's classifier.

    Args:
        student: whose own classifier is not asked.
        projector: to the teacher's channels.
        classifier: the teacher's; its weights are copied, saved, and never learn.
        size: height and width of the teacher's map.
    """

    def __init__(self, student: nn.Module, projector: nn.Module, classifier: nn.Linear, size: tuple[int, int]):
        super().__init__()
        self.student, self.projector, self.size = student, projector, size
        self.register_buffer("scores", classifier.weight.detach().clone())
        self.register_buffer("offsets", None if classifier.bias is None else classifier.bias.detach().clone())

    def forward(self, inputs: Any) -> Outputs:
        return self.answer(self.student(inputs))

    def answer(self, said: Outputs) -> Outputs:
        """What the teacher's classifier says of the student's features, the projected map the last of them."""
        made = self.projector(shrunk(said.features[-1], self.size))
        embedding = made.mean((2, 3))
        return Outputs(F.linear(embedding, self.scores, self.offsets), (*said.features, made), (), embedding)


def shrunk(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Averaged down to a size; smaller maps stay."""
    return F.adaptive_avg_pool2d(maps, [min(mine, wanted) for mine, wanted in zip(maps.shape[2:], size)])


class SimKD(Scheme):
    r"""The student's last map is fitted to the teacher's, and the teacher's own classifier reads it ever after.

    .. math::
        L = \frac1{CHW} \lVert P(F^s) - F^t \rVert_2^2

    No labels and no answers are learned from: where the fit is perfect the student answers as the teacher does. It
    keeps the projector and the classifier, so it is larger and slower than the student alone; tables give its own
    number of parameters.

    Survey: none; it stands beside the rows of si2023 section 2.2 in the comparisons of the field.
    Paper: {cite:t}`chen2022simkd`, with the settings of the authors' code.

    Args:
        student: the network that learns.
        teacher: a finished network; it is frozen, put in eval mode, and not part of this scheme's state.
        classifier: the teacher's linear layer from the mean of its last map to its answer.
        channels: of the student's and the teacher's last map.
        size: height and width of the teacher's last map.
        sample: a few inputs, to find which of the student's parameters are not asked.
        factor: how much narrower the projector's middle is than the teacher's map, above 0. Default 2: the authors'.
        weight: of the loss, at least 0. Default 1: the authors'.
        task_weight: of the labels, on the delivered answer, at least 0. Default 0: the authors'.

    Raises:
        Refusal: a setting is out of its range.

    Notes:
        Of two sizes of the last maps the larger is averaged down to the smaller before the projector, as in the
        authors' code. What the student has after its last stage is left out.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        classifier: nn.Linear,
        channels: tuple[int, int],
        size: tuple[int, int],
        sample: Any,
        *,
        factor: int = 2,
        weight: float = 1.0,
        task_weight: float = 0.0,
    ):
        super().__init__()
        refuse_out_of_range(above_zero={"factor": factor}, weight=weight, task_weight=task_weight)
        self.outside = (teacher.eval().requires_grad_(False),)
        self.reusing = Reusing(student, Projector(*channels, factor), classifier, size)
        self.weight, self.task_weight = weight, task_weight
        asked = reached(student, sample, lambda said: said.features[-1])
        self.idle = {f"reusing.student.{name}" for name, _ in student.named_parameters() if name not in asked}

    @classmethod
    def build(cls, bench: Any, *, classifier: str | None = None, **settings: Any) -> Self:
        if bench.teacher is None:
            raise Refusal("simkd reuses a teacher's classifier, and the row has none")
        student, teacher = bench.setting.student, bench.setting.teacher
        *_, mine = named_stages("student", student)
        *_, theirs = named_stages("teacher", teacher)
        shape = teacher.features[theirs].shape
        found = classifier_of(bench.teacher, shape[1], bench.setting.classes, classifier)
        channels = student.features[mine].shape[1], shape[1]
        sample = take(bench.data.inputs, slice(0, 2))
        given = bench.network("student"), bench.teacher, found, channels, tuple(shape[2:]), sample
        return seeded(lambda: cls(*given, **settings), bench.seed, "init", "projector").to(bench.data.device)

    def stages(self) -> list[Stage]:
        return [Stage("main", [Update("student", [self.reusing], self._losses)])]

    def _losses(self, batch: Batch) -> dict[str, Term]:
        said = self.reusing.answer(batch.outputs(self.reusing.student))
        target = shrunk(batch.outputs(*self.outside).features[-1], said.features[-1].shape[2:])
        value = fitnet_loss(said.features[-1], target, form="mean")
        return {"simkd": Term(value, self.weight), "task": Term(batch.task.loss(said, batch), self.task_weight)}

    def untouched(self) -> set[str]:
        return self.idle

    def delivers(self) -> dict[str, nn.Module]:
        return {"student": self.reusing}


ENTRIES = (Entry("simkd", "scheme", SimKD, {}, "CVPR 2022, the authors' code"),)
