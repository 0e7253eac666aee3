"""A generator of texts learns from an autoencoder, whose answers are as smooth as its own."""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.losses._common import refuse_out_of_range
from kdcore.losses.adversarial.critics import judged_apart
from kdcore.losses.adversarial.game import gan_kd_critic_loss, gan_kd_loss
from kdcore.losses.adversarial.wasserstein import gradient_penalty
from kdcore.randomness import seeded
from kdcore.schemes._rates import steady
from kdcore.schemes.offline.soft_text.networks import Autoencoder, TextCritic, Writer
from kdcore.types import Batch, Entry, Refusal, Scheme, Stage, Term, Update


class TextKDGAN(Scheme):
    r"""An autoencoder's soft copies of real texts are what a critic takes for real, and a generator writes like them.

    A generator's text is one distribution a place, never a hard choice, while a real text is all ones and zeros: a
    critic that compares the two needs to look at nothing else. The autoencoder is the teacher; it says of a real text
    what it would write in its place, with more than one token possible, and the student is compared with that.

    .. math::
        \tilde x = \mathrm{softmax}(\mathrm{dec}(\mathrm{enc}(x))), \qquad
        L_A = \mathrm{CE}(x, \tilde x), \qquad L_G = -C(G(z)), \\
        L_C = C(G(z)) - C(\tilde x) + \lambda \, \mathbb E (\lVert \nabla_{\hat x} C \rVert_2 - 1)^2

    In ``autoencoder`` it learns alone; in ``main`` it goes on, the critic follows every step, and the generator every
    few.

    Survey: huang2022 section 6.1: the teacher's features are the true labels, the student is the generator.
    Paper: {cite:t}`haidar2019textkd`, by its abstract and two public reimplementations that we read; the numbers of
    the game are those that one of them takes over from the Wasserstein game on text.

    Args:
        vocabulary: number of tokens.
        length: tokens of a text.
        real: what the critic takes for real, ``autoencoder`` or ``one-hot``, the plain game that the paper starts
            from (no autoencoder is trained). Default ``autoencoder``.
        hidden: units of the autoencoder's recurrent layers. Default 512: the reimplementations'.
        noise: numbers that the generator reads. Default 128: the reimplementation's.
        width: channels of generator and critic. Default 256: the same.
        blocks: residual blocks of each. Default 5: the same.
        critic_steps: of the critic for each of the generator. Default 5: the same.
        penalty_weight: lambda. Default 10: the same.
        game_rate: of critic and generator, with Adam. Default 1e-4: the same.
        autoencoder_rate: of the autoencoder, with Adam. Default 1e-3: the other's.
        share: of the autoencoder's own stage. Default 1 / 4, ours: one trains it beforehand, the other beside.
        smoothing: temperature of the autoencoder's answer as a real sample, above 0. Default 1.

    Raises:
        Refusal: a text is shorter than the critic's reach, or a number is out of its range.

    Notes:
        The decoder knows the true tokens before each place, as in one reimplementation; the other writes from the
        code alone.
        It delivers the generator. Its texts follow no prompt, so a perplexity of it means nothing: `Writing` judges
        by distances between pieces.
    """

    def __init__(
        self,
        vocabulary: int,
        length: int,
        *,
        real: Literal["autoencoder", "one-hot"] = "autoencoder",
        hidden: int = 512,
        noise: int = 128,
        width: int = 256,
        blocks: int = 5,
        critic_steps: int = 5,
        penalty_weight: float = 10.0,
        game_rate: float = 1e-4,
        autoencoder_rate: float = 1e-3,
        share: float = 0.25,
        smoothing: float = 1.0,
    ):
        super().__init__()
        sizes = {"hidden": hidden, "noise": noise, "width": width, "blocks": blocks, "critic_steps": critic_steps}
        rates = {"game_rate": game_rate, "autoencoder_rate": autoencoder_rate}
        refuse_out_of_range(
            above_zero={**sizes, **rates, "share": share, "smoothing": smoothing}, penalty_weight=penalty_weight
        )
        if real not in ("autoencoder", "one-hot"):
            raise Refusal(f"real must be 'autoencoder' or 'one-hot', got {real!r}")
        self.vocabulary, self.real, self.smoothing, self.share = vocabulary, real, smoothing, share
        self.generator = Writer(vocabulary, length, noise=noise, width=width, blocks=blocks)
        self.critic = TextCritic(vocabulary, length, width=width, blocks=blocks)
        if real == "autoencoder":
            self.autoencoder = Autoencoder(vocabulary, hidden)
        self.critic_steps, self.penalty_weight = critic_steps, penalty_weight
        self.recipes = {"game": steady(game_rate, momentum=0.5), "autoencoder": steady(autoencoder_rate)}

    @classmethod
    def build(cls, bench: Any, **settings: Any) -> Self:
        """From a bench whose data are windows of tokens."""
        data = bench.data
        inputs = data.inputs
        if not isinstance(inputs, Tensor) or inputs.ndim != 2 or inputs.is_floating_point():
            raise Refusal("textkd-gan learns from texts, rows of numbered tokens, which this data set has not")
        make = lambda: cls(data.classes, inputs.shape[1], **settings)
        return seeded(make, bench.seed, "init", "textkd-gan").to(data.device)

    def stages(self) -> list[Stage]:
        game = [
            Update("critic", [self.critic], self._judged, self.recipes["game"]),
            Update("generator", [self.generator], self._written, self.recipes["game"], every=self.critic_steps),
        ]
        if self.real == "one-hot":
            return [Stage("main", game)]
        copying = lambda: Update("autoencoder", [self.autoencoder], self._copied, self.recipes["autoencoder"])
        return [Stage("autoencoder", [copying()], share=self.share), Stage("main", [copying(), *game])]

    def _copied(self, batch: Batch) -> dict[str, Term]:
        tokens = batch.inputs
        scores = self.autoencoder(tokens).float()
        return {"copy": Term(F.cross_entropy(scores.flatten(0, 1), tokens.flatten()))}

    @torch.no_grad()
    def _real(self, batch: Batch) -> Tensor:
        if self.real == "one-hot":
            return F.one_hot(batch.inputs, self.vocabulary).to(self.critic.score.weight.dtype)
        return (self.autoencoder(batch.inputs).float() / self.smoothing).softmax(2)

    def _judged(self, batch: Batch) -> dict[str, Term]:
        true, size = self._real(batch), len(batch.index)
        with torch.no_grad():
            false = self.generator.draw(size, batch.generator("textkd false"))
        distance = gan_kd_critic_loss(*judged_apart(self.critic, false, true), form="wasserstein")
        penalty = gradient_penalty(self.critic, false, true, batch.generator("textkd between"))
        return {"distance": Term(distance), "penalty": Term(penalty, self.penalty_weight)}

    def _written(self, batch: Batch) -> dict[str, Term]:
        texts = self.generator.draw(len(batch.index), batch.generator("textkd written"))
        return {"fool": Term(gan_kd_loss(self.critic(texts), form="wasserstein"))}

    def delivers(self) -> dict[str, nn.Module]:
        return {"generator": self.generator}


ENTRIES = (Entry("textkd-gan", "scheme", TextKDGAN, {}, "Canadian AI 2019, smooth real texts"),)
