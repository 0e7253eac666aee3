"""First a chain of networks, then a generator that learns to write networks like them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from kdcore.losses._common import refuse_out_of_range
from kdcore.losses.adversarial.critics import Critic, judged_apart
from kdcore.losses.adversarial.game import gan_kd_critic_loss, gan_kd_loss
from kdcore.losses.adversarial.wasserstein import gradient_penalty
from kdcore.randomness import seeded
from kdcore.schemes._rates import steady
from kdcore.schemes.offline.compression.tabular import Perceptron
from kdcore.schemes.offline.posterior.langevin import Chain, Langevin
from kdcore.schemes.offline.posterior.networks import Generator, Posterior, flat
from kdcore.types import Batch, Entry, Refusal, Scheme, Stage, Term, Update


class APD(Scheme):
    r"""A posterior over networks is sampled once, and a generator is taught to sample it again.

    In ``sgld`` a small network walks by stochastic gradient Langevin dynamics (`Langevin`) and leaves samples of its
    weights behind. In ``distil`` a Wasserstein critic with gradient penalty tells these weight vectors from those that
    a generator writes:

    .. math::
        L_D = D(G(z)) - D(\theta) + \lambda \, \mathbb E (\lVert \nabla_{\hat\theta} D \rVert_2 - 1)^2, \qquad
        L_G = -D(G(z))

    What is compared is weights, not features and not answers: the teacher is a set of networks, the student a way to
    draw more of them without keeping the set.

    Survey: zhao2026 section 4.3, reference 12, which cites it for a discriminator that tells the teacher's features
    from the student's (errata Z-18).
    Paper: {cite:t}`wang2018adversarial`, with the settings of the authors' released code, named below.

    Args:
        body: the small network; its norms must not carry state, as batch norms do.
        samples: size of the data set, N of the noise.
        kept: weight vectors that the chain leaves. Default 1000: of the toy script.
        burn_in: share of the walk that leaves none. Default 0.25, ours: the code leaves out 500 steps of 200,000.
        rate: of the walk. Default 0.05: ``sgld-mnist-1-1``.
        decay: of the walk's prior. Default 1e-3: the same.
        noise: numbers that the generator reads. Default 32: ``gan1``.
        hidden: units of each hidden layer of generator and critic, three each. Default 100: ``gan1``.
        rows: weight vectors a step of the game. Default 100: ``gan1``.
        critic_steps: of the critic for each of the generator. Default 5: ``gan1``.
        penalty_weight: lambda. Default 10: ``gan1``.
        game_rate: of both, with Adam. Default 1e-4: the code.
        shares: length of both stages as parts of the recipe's. Default 1 and 1, ours: the code walks 200,000 steps
            and plays 100,000 rounds.
        networks: that answer together when the scheme is judged. Default 100: ``gan1``.

    Raises:
        Refusal: the body has batch norms, or a number is out of its range.

    Notes:
        It delivers the generator's networks (ranked), the chain's samples, and the walk's last network alone.
        Samples are spread over the whole walk, where the code takes every twentieth step and keeps the last ones.
        Adam's second moment decays by 0.999 here and by 0.9 in the TensorFlow script (its PyTorch twin has 0.999); the
        critic's ReLU is leaky here. The code repeats one batch of weights for the five steps of its critic, here each
        step draws its own.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        samples: int,
        kept: int = 1000,
        burn_in: float = 0.25,
        rate: float = 0.05,
        decay: float = 1e-3,
        noise: int = 32,
        hidden: int = 100,
        rows: int = 100,
        critic_steps: int = 5,
        penalty_weight: float = 10.0,
        game_rate: float = 1e-4,
        shares: Sequence[float] = (1.0, 1.0),
        networks: int = 100,
    ):
        super().__init__()
        counts = {"kept": kept, "noise": noise, "hidden": hidden, "rows": rows, "networks": networks}
        rates = {"rate": rate, "game_rate": game_rate, "critic_steps": critic_steps, "samples": samples}
        lengths = dict(zip(("sgld share", "distil share"), shares, strict=True))
        refuse_out_of_range(
            above_zero={**counts, **rates, **lengths}, burn_in=burn_in, decay=decay, penalty_weight=penalty_weight
        )
        if burn_in >= 1:
            raise Refusal(f"burn_in must lie in [0, 1), got {burn_in:g}")
        if any(isinstance(module, _BatchNorm) for module in body.modules()):
            raise Refusal("a sample of weights must be the whole network, and batch norms keep statistics beside them")
        size = flat(body).numel()
        self.body, self.chain = body, Chain(kept, size, burn_in=burn_in)
        self.generator, self.critic = Generator(noise, hidden, size), Critic(size, hidden, hidden, hidden)
        self.walk = Langevin(body, rate=rate, decay=decay, samples=samples)
        self.rows, self.critic_steps, self.penalty_weight = rows, critic_steps, penalty_weight
        self.shares, self.networks = tuple(shares), networks
        self.game = steady(game_rate, momentum=0.5)

    @classmethod
    def build(cls, bench: Any, *, units: int = 16, **settings: Any) -> Self:
        """From a bench: a perceptron with one hidden layer of `units` (the code's fcNN1 has 100 on MNIST)."""
        data = bench.data
        if not isinstance(data.inputs, Tensor) or not data.inputs.is_floating_point() or data.targets.ndim != 1:
            raise Refusal("apd samples a perceptron that classifies rows of numbers, which this data set has not")
        size = data.inputs[0].numel()
        body = seeded(lambda: Perceptron(size, data.classes, hidden=units), bench.seed, "init", "student")
        make = lambda: cls(body, samples=len(data), **settings)
        return seeded(make, bench.seed, "init", "apd").to(data.device)

    def stages(self) -> list[Stage]:
        walk, distil = self.shares
        critic = Update("critic", [self.critic], self._judged, self.game)
        generator = Update("generator", [self.generator], self._written, self.game, every=self.critic_steps)
        return [
            Stage("sgld", [self.walk.update(self._walked)], share=walk),
            Stage("distil", [critic, generator], share=distil),
        ]

    def _walked(self, batch: Batch) -> dict[str, Term]:
        """The labels; before the step that they ask for, the weights as they stand are a sample."""
        self.chain.see(self.body, batch.clock.step, batch.clock.steps)
        return {"task": Term(batch.task.loss(batch.outputs(self.body), batch))}

    def _judged(self, batch: Batch) -> dict[str, Term]:
        true = self.chain.draw(self.rows, batch.generator("apd true"))
        with torch.no_grad():
            false = self.generator.draw(self.rows, batch.generator("apd false"))
        distance = gan_kd_critic_loss(*judged_apart(self.critic, false, true), form="wasserstein")
        penalty = gradient_penalty(self.critic, false, true, batch.generator("apd between"))
        return {"distance": Term(distance), "penalty": Term(penalty, self.penalty_weight)}

    def _written(self, batch: Batch) -> dict[str, Term]:
        scores = self.critic(self.generator.draw(self.rows, batch.generator("apd written")))
        return {"fool": Term(gan_kd_loss(scores, form="wasserstein"))}

    def delivers(self) -> dict[str, nn.Module]:
        drawn = {"generator": self.generator, "chain": self.chain}
        return {**{role: Posterior(self.body, of, self.networks) for role, of in drawn.items()}, "last": self.body}


ENTRIES = (Entry("apd", "scheme", APD, {}, "ICML 2018, a generator of networks"),)
