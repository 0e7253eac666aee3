"""A light network and a booster on top of its lower stages, trained together; the booster falls away at the end."""

from __future__ import annotations

from typing import Any, Self

from torch import Tensor, nn

from kdcore.losses._common import at_least_float32, refuse_out_of_range
from kdcore.losses.feature.hints import Regressor
from kdcore.randomness import seeded
from kdcore.schemes.progressive._parts import Staged
from kdcore.types import Batch, Entry, Outputs, Refusal, Scheme, Stage, Term, Update, take


class Booster(nn.Module):
    """The upper stages of a network and its classifier, reading what another network's lower stages say.

    Args:
        network: a network of its own, whose lower stages are taken out.
        shared: how many of them.
        shape: channels, height, width of what is shared. Where the next stage reads another shape a `Regressor`
            stands between.
        sample: a few inputs of the network, to learn its shapes.
    """

    def __init__(self, network: nn.Module, shared: int, shape: tuple[int, int, int], sample: Tensor):
        super().__init__()
        self.staged, self.network, self.shared = Staged(network, sample), network, shared
        if not 1 <= shared < len(self.staged):
            raise Refusal(f"shared must lie in 1 .. {len(self.staged) - 1}, stages of the booster, got {shared}")
        wanted = self.staged.inside[shared]
        self.bridge = nn.Identity() if shape == wanted else Regressor(shape, wanted)
        for number in range(shared):
            network.stages[number] = nn.Identity()
        if hasattr(network, "stem"):
            network.stem = nn.Identity()

    def forward(self, shared: Tensor) -> Outputs:
        return self.staged.finish(self.staged.through(self.bridge(shared), self.shared))


class Boosted(nn.Module):
    """The booster as a network: the light one up to the shared stage, then the booster's own."""

    def __init__(self, light: nn.Module, booster: Booster):
        super().__init__()
        self.light, self.booster = light, booster

    def forward(self, inputs: Any) -> Outputs:
        return self.booster(self.light(inputs).features[self.booster.shared - 1])


class RocketLaunching(Scheme):
    r"""Two networks share their lower stages and learn the labels, the light one also the heavy one's logits.

    .. math::
        L = \mathrm{CE}(y, p) + \mathrm{CE}(y, q) + \lambda \lVert l(x) - z(x) \rVert_2^2

    where :math:`l` are the light network's logits and :math:`z` the booster's. The last term reaches the light
    network and what it shares, never the booster (``block``). No network is finished before; at test the booster is
    left away.

    Survey: si2023 section 2.2.1.
    Paper: {cite:t}`zhou2018rocket`, with the settings of the authors' code.

    Args:
        student: the light network, with named stages; it is delivered and ranked.
        booster: what stands on its lower stages.
        weight: lambda, at least 0. Default 0.03: the authors', for a sum over classes and a mean over examples.
        block: whether the booster is a constant in the last term. Default True: the authors'.

    Raises:
        Refusal: the light network names no such stage, the booster cannot be run stage by stage, or a setting is out
            of its range.

    Notes:
        The authors' networks differ in depth alone; where widths or sizes differ too, a `Regressor` after the shared
        stage, which learns with the booster, is ours. They share the first two of three groups (``bottom``) or every
        group's first blocks (``interval``), both with batch norms of its own for each network; here `shared` whole
        stages are shared, batch norms too.
    """

    def __init__(self, student: nn.Module, booster: Booster, *, weight: float = 0.03, block: bool = True):
        super().__init__()
        refuse_out_of_range(weight=weight)
        self.student, self.booster, self.weight, self.block = student, booster, weight, block

    @classmethod
    def build(cls, bench: Any, *, booster: Any = None, shared: int = 1, **settings: Any) -> Self:
        """From a bench: a fresh booster of the named architecture, or of the student's own."""
        student, sample = bench.network("student"), take(bench.data.inputs, slice(0, 2))
        features = student(sample).features
        if not 1 <= shared <= len(features):
            raise Refusal(f"shared must lie in 1 .. {len(features)}, stages of the student, got {shared}")
        shape = tuple(features[shared - 1].shape[1:])
        if len(shape) != 3:
            raise Refusal(f"the shared stages must end in a map (channels, height, width), got {shape}")
        network = bench.network("booster", booster)
        upper = seeded(lambda: Booster(network, shared, shape, sample), bench.seed, "init", "bridge")
        return cls(bench.network("student"), upper, **settings).to(bench.data.device)

    def stages(self) -> list[Stage]:
        return [Stage("main", [Update("rocket", [self.student, self.booster], self._losses)])]

    def _losses(self, batch: Batch) -> dict[str, Term]:
        light = batch.outputs(self.student)
        heavy = self.booster(light.features[self.booster.shared - 1])
        target = heavy.logits.detach() if self.block else heavy.logits
        hint = (at_least_float32(light.logits) - at_least_float32(target)).square().sum(1).mean()
        return {
            "task": Term(batch.task.loss(light, batch)),
            "booster": Term(batch.task.loss(heavy, batch)),
            "hint": Term(hint, self.weight),
        }

    def delivers(self) -> dict[str, nn.Module]:
        return {"student": self.student, "booster": Boosted(self.student, self.booster)}


ENTRIES = (Entry("rocket-launching", "scheme", RocketLaunching, {}, "AAAI 2018; whole stages are shared"),)
