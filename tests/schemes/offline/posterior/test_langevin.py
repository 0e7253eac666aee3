"""What a reader may rely on in a walk through the posterior, one claim a test."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from kdcore.engine import Recipe, Run, fit
from kdcore.randomness import generator, seeded
from kdcore.schemes.offline.posterior import Chain, Langevin, flat
from kdcore.types import Data, Scheme, Stage, Task, Term


class Well(Scheme):
    """Many particles, each in a well of its own curvature, which walk by their slopes and by noise."""

    def __init__(self, particles: int, *, curvature: float, **settings):
        super().__init__()
        self.places = nn.Linear(particles, 1, bias=False)
        nn.init.zeros_(self.places.weight)
        self.curvature, self.walk = curvature, Langevin(self.places, **settings)

    def stages(self):
        return [Stage("main", [self.walk.update(self._depth)])]

    def _depth(self, batch):
        return {"depth": Term(self.curvature / 2 * self.places.weight.square().sum())}

    def delivers(self):
        return {"places": self.places}


@pytest.fixture
def data():
    return Data(torch.zeros(4, 1), torch.zeros(4, dtype=torch.int64), Task(), {"weak": lambda x, random: x}, classes=1)


class TestLangevin:
    def test_a_step_agrees_with_the_authors_code(self, reference, monkeypatch):
        (known,) = [case for case in reference("apd") if case.get("step")]
        index = torch.arange(12, dtype=torch.float64).view(3, 4)
        weights, slope, noise = (torch.sin(speed * index + 1) for speed in (0.7, 1.3, 0.4))
        body = nn.Linear(4, 3, bias=False).double()
        body.weight.data = 4 * weights
        walk = Langevin(body, rate=0.05, decay=0.001, samples=20)
        walk.random = generator("any")
        monkeypatch.setattr(torch, "randn", lambda *shape, **options: -noise)  # theirs is subtracted
        walk._backward({"loss": Term((4 * slope * body.weight).sum())}, [body.weight])
        torch.optim.SGD([body.weight], lr=walk.recipe.learning_rate).step()
        after = body.weight.detach()
        assert after.sum().item() == pytest.approx(known["value"], rel=1e-12)
        assert after.norm().item() == pytest.approx(known["gradient_norm"], rel=1e-12)
        assert after[tuple(known["gradient_at"])].item() == pytest.approx(known["gradient"], rel=1e-12)

    def test_nothing_else_is_in_its_optimiser(self):
        recipe = Langevin(nn.Linear(2, 1), rate=0.3, decay=0.5, samples=7).recipe
        told = recipe.optimizer, recipe.learning_rate, recipe.momentum, recipe.weight_decay, recipe.schedule
        assert told == ("sgd", 0.3, 0.0, 0.0, "constant")

    def test_the_walk_ends_in_the_posterior(self, data):
        """N times the mean loss plus its prior is a Gaussian well: variance 1 / (N (curvature + decay)).

        The step is finite: with a = 1 - rate (c + decay) / 2 the variance is rate / (N (1 - a^2)).
        """
        samples, curvature, decay, rate = 50, 2.0, 1.0, 0.1
        make = lambda: Well(4000, curvature=curvature, rate=rate, decay=decay, samples=samples)
        run = Run("well", make(), data, Recipe(steps=60, batch_size=4), 3)
        fit([run])
        places = run.scheme.places.weight.detach()
        kept = 1 - rate * (curvature + decay) / 2
        exact = rate / (samples * (1 - kept**2))
        assert exact == pytest.approx(1 / (samples * (curvature + decay)), rel=0.1)
        assert places.var().item() == pytest.approx(exact, rel=0.08)
        assert abs(places.mean().item()) < 4 * (exact / 4000) ** 0.5

    def test_noise_is_the_steps_and_no_two_steps_share_it(self, data):
        def walked(seed: int, steps: int) -> torch.Tensor:
            scheme = Well(5, curvature=0.0, rate=0.1, decay=0.0, samples=10)
            run = Run("well", scheme, data, Recipe(steps=steps, batch_size=4), seed)
            fit([run])
            return run.scheme.places.weight.detach()

        assert torch.equal(walked(3, 2), walked(3, 2)) and not torch.equal(walked(3, 2), walked(4, 2))
        assert not torch.allclose(walked(3, 2), 2 * walked(3, 1))

    def test_weights_that_no_loss_reaches_follow_their_prior(self, monkeypatch):
        body = seeded(lambda: nn.Linear(2, 2), 0)
        walk, before = Langevin(body, rate=0.2, decay=0.5, samples=10), body.bias.detach().clone()
        walk.random = generator("any")
        monkeypatch.setattr(torch, "randn", lambda shape, **options: torch.zeros(shape))
        walk._backward({"loss": Term(body.weight.sum())}, list(body.parameters()))
        torch.testing.assert_close(body.bias.grad, 0.5 * before / 2)


class TestChain:
    def test_samples_are_spread_over_what_follows_the_burn_in(self):
        due = [Chain(4, 1, burn_in=0.2).due(step, 20) for step in range(20)]
        assert due[:4] == [0] * 4 and due[4] == 1 and due[-1] == 4 and due == sorted(due)
        first = [due.index(number) for number in (1, 2, 3, 4)]
        gaps = [after - before for before, after in pairwise(first)]
        assert max(gaps) - min(gaps) <= 1

    @pytest.mark.parametrize("steps", [1, 2, 3, 10])
    def test_it_is_full_at_the_end_however_short_the_walk(self, steps):
        chain, body = Chain(5, 9, burn_in=0.5), seeded(lambda: nn.Linear(2, 3), 0)
        for step in range(steps):
            with torch.no_grad():
                body.bias.fill_(step + 1)
            chain.see(body, step, steps)
        assert (chain.samples[:, :3] > 0).all() and chain.samples[-1, 0] == steps  # biases come first by name
        assert torch.equal(chain.samples[-1], flat(body))

    def test_draws_come_from_the_samples_with_repetition(self):
        chain = Chain(3, 1, burn_in=0.0)
        chain.samples.copy_(torch.tensor([[1.0], [2.0], [3.0]]))
        drawn = chain.draw(600, generator("draw"))
        counts = [int((drawn == value).sum()) for value in (1, 2, 3)]
        assert sum(counts) == 600 and min(counts) > 150

    def test_samples_travel_with_the_state(self):
        assert list(Chain(3, 2, burn_in=0.0).state_dict()) == ["samples"]
