"""A critic of feature maps, and how maps of two networks are brought to one shape for it."""

from __future__ import annotations

from typing import Any, Self

import torch.nn.functional as F
from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.losses._common import refuse_out_of_range
from kdcore.losses.adversarial.critics import MapCritic, judged_apart
from kdcore.losses.adversarial.game import Form, gan_kd_critic_loss, gan_kd_loss
from kdcore.losses.feature._stages import stage_pairs
from kdcore.types import Batch, Entry, Method, Outputs, Refusal, Setting, Term

Shape = tuple[int, int, int]  # channels, height, width


def averaged_to(
    maps: Float[Tensor, "batch channels height width"], size: tuple[int, int]
) -> Float[Tensor, "batch channels smaller_height smaller_width"]:
    """Maps averaged down to a height and width, at most their own.

    Whole windows are averaged where the sizes divide, which has a deterministic backward pass everywhere.

    Example:
        >>> import torch
        >>> averaged_to(torch.arange(4.0).view(1, 1, 2, 2), (1, 1)).item()
        1.5
    """
    height, width = maps.shape[2:]
    if (height, width) == tuple(size):
        return maps
    if height % size[0] == 0 and width % size[1] == 0:
        return F.avg_pool2d(maps, (height // size[0], width // size[1]))
    return F.adaptive_avg_pool2d(maps, size)


class FeatureDiscriminatorKD(Method):
    """A convolutional critic tells one stage's maps of the teacher from the student's, which learn to pass for them.

    The student's maps are brought to the teacher's channels by a 1 x 1 convolution that learns with the student; of
    two sizes the larger maps are averaged down to the smaller. The game is `gan_kd_loss` on the critic's scores.

    si2023 (section 2.3.5) gives one sentence and a citation that it also uses for another paper (errata S-09), so
    sizes, forms and weights here are ours.

    Args:
        student: channels, height, width of the student's maps.
        teacher: of the teacher's.
        pair: the stage of each. Default of `build`: both networks' last.
        hidden: channels of the critic's two convolutions. Default 64, ours.
        form: the student's side of the game.
        critic_rate: learning rate of the critic, of Adam. Default 1e-4, ours: a critic of maps is soon sure.
        weight: of the student's side. Default 0.1, ours: si2023 eq. 9 adds it unweighted, but a critic of maps, which
            have no bound, then tears the student from its labels.
    """

    def __init__(
        self,
        student: Shape,
        teacher: Shape,
        pair: tuple[int, int],
        *,
        hidden: int = 64,
        form: Form = "non-saturating",
        critic_rate: float = 1e-4,
        weight: float = 0.1,
    ):
        super().__init__()
        refuse_out_of_range(above_zero={"hidden": hidden, "critic_rate": critic_rate}, weight=weight)
        if form not in ("non-saturating", "minimax"):
            raise Refusal(f"form must be 'non-saturating' or 'minimax', got {form!r}")
        self.pair, self.form, self.critic_rate, self.weight = tuple(pair), form, critic_rate, weight
        self.size = min(student[1], teacher[1]), min(student[2], teacher[2])
        self.adapter = nn.Conv2d(student[0], teacher[0], 1)
        self.critic = MapCritic(teacher[0], hidden)

    @classmethod
    def build(
        cls, setting: Setting, *, student_stage: int | None = None, teacher_stage: int | None = None, **settings: Any
    ) -> Self:
        mine, theirs = (
            len(said.features) - 1 if stage is None else stage
            for said, stage in ((setting.student, student_stage), (setting.teacher, teacher_stage))
        )
        (pair,) = stage_pairs(setting, [(mine, theirs)])
        maps = setting.student.features[pair[0]], setting.teacher.features[pair[1]]
        return cls(*(tuple(map_.shape[1:]) for map_ in maps), pair, **settings)

    def critics(self) -> list[nn.Module]:
        return [self.critic]

    def losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        scores = self.critic(self._mine(student))
        return {"feature_discriminator": Term(gan_kd_loss(scores, form=self.form), self.weight)}

    def critic_losses(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Term]:
        theirs = averaged_to(teacher.features[self.pair[1]], self.size)
        return {"critic": Term(gan_kd_critic_loss(*judged_apart(self.critic, self._mine(student), theirs)))}

    def _mine(self, student: Outputs) -> Tensor:
        return self.adapter(averaged_to(student.features[self.pair[0]], self.size))


ENTRIES = (
    Entry("feature-discriminator-kd", "loss", FeatureDiscriminatorKD, {}, "si2023 section 2.3.5, source not resolved"),
)
