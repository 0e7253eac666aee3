"""What a reader may rely on in synthetic samples, one claim a test."""

import doctest
import math

import pytest
import torch

from kdcore.randomness import generator
from kdcore.schemes.offline.compression import munge as package_munge
from kdcore.schemes.offline.compression.munge import munge
from kdcore.types import Refusal


def samples(count: int = 12, attributes: int = 5) -> torch.Tensor:
    index = torch.arange(count * attributes, dtype=torch.float64).view(count, attributes)
    return (0.5 + 0.5 * torch.sin(1.7 * index + 1)).float()


def random(seed: int = 0) -> torch.Generator:
    return generator(seed, "test")


def naive(rows: list[list[float]], swap: float, s: float, nominal: tuple[int, ...], chance: torch.Generator):
    """One pass of the algorithm, number by number, on the same draws: all the coins first, then all the noise."""
    count, width = len(rows), len(rows[0])
    coins = torch.rand(count, width, generator=chance, dtype=torch.float64).tolist()
    noise = torch.randn(count, 2, width, generator=chance, dtype=torch.float64).tolist()
    made = [list(row) for row in rows]
    for e in range(count):
        best, nearest = math.inf, -1
        for other in range(count):
            gaps = [
                float(a != b) if i in nominal else (a - b) ** 2 for i, (a, b) in enumerate(zip(made[other], made[e]))
            ]
            if other != e and sum(gaps) < best:
                best, nearest = sum(gaps), other
        for a in range(width):
            if coins[e][a] < swap:
                mine, theirs = made[e][a], made[nearest][a]
                deviation = 0.0 if a in nominal else abs(mine - theirs) / s
                made[e][a], made[nearest][a] = theirs + deviation * noise[e][0][a], mine + deviation * noise[e][1][a]
    return made


class TestMunge:
    @pytest.mark.parametrize("nominal", [(), (1, 4)])
    @pytest.mark.parametrize("swap", [0.2, 1.0])
    def test_is_the_algorithm_of_the_paper(self, swap, nominal):
        rows = samples()
        rows[:, list(nominal)] = rows[:, list(nominal)].mul(3).round()
        made = munge(rows, random(), swap=swap, local_variance=3.0, nominal=nominal)
        expected = naive(rows.double().tolist(), swap, 3.0, nominal, random())
        torch.testing.assert_close(made, torch.tensor(expected, dtype=torch.float32))

    def test_one_pair_worked_by_hand(self):
        """With no blur to speak of, the first exchanges with its neighbour, and the neighbour takes it all back."""
        pair = torch.tensor([[0.0, 1.0], [0.2, 0.5]])
        torch.testing.assert_close(munge(pair, random(), swap=1.0, local_variance=1e9), pair)

    def test_without_exchange_it_copies(self):
        assert torch.equal(munge(samples(), random(), swap=0.0, copies=3), samples().repeat(3, 1))

    def test_neighbours_keep_what_they_share_so_a_cluster_stays_one(self):
        far = torch.cat([samples(), samples() + 100])
        far[:, 2] = torch.tensor([0.25, 0.75]).repeat_interleave(12)
        made = munge(far, random(), swap=0.5, copies=5).view(5, 24, 5)
        assert (made[:, :12, 2] == 0.25).all() and (made[:, 12:, 2] == 0.75).all()
        assert (made[:, :12] < 50).all() and (made[:, 12:] > 0.2).all()

    def test_names_are_exchanged_and_never_invented(self):
        rows = 5 * samples()  # the names count little in the distance, so neighbours differ in them
        rows[:, 0] = torch.arange(12) // 3 % 3
        made = munge(rows, random(), swap=0.5, nominal=(0,), copies=4)
        assert set(made[:, 0].tolist()) == {0.0, 1.0, 2.0}
        assert not torch.equal(made[:12, 0], rows[:, 0])

    def test_the_blur_is_the_gap_over_s(self):
        """Two samples one apart: what moves to the other's place scatters with standard deviation 1 / s."""
        pair = torch.tensor([[0.0], [1.0]])
        for s in (2.0, 10.0):
            # The first exchange alone is looked at: coins of the second are spared by a zero probability of it.
            made = torch.cat([_first_exchange(pair, seed, s) for seed in range(400)])
            assert made.std().item() == pytest.approx(1 / s, rel=0.1)
            assert made.mean().item() == pytest.approx(1.0, abs=4 / s / 20)

    def test_every_copy_starts_from_the_original_and_is_another(self):
        made = munge(samples(), random(), copies=2).view(2, 12, 5)
        assert not torch.equal(made[0], made[1])
        assert torch.equal(made[0], munge(samples(), random(), copies=1))

    def test_the_same_stream_gives_the_same_samples_and_leaves_the_originals(self):
        rows = samples()
        assert torch.equal(munge(rows, random()), munge(rows, random()))
        assert not torch.equal(munge(rows, random()), munge(rows, random(1)))
        assert torch.equal(rows, samples())

    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            ({"samples": torch.zeros(1, 3)}, r"samples must have shape \(at least 2, attributes\), got \(1, 3\)"),
            ({"swap": 1.2}, r"swap must lie in 0 .. 1, got 1.2"),
            ({"local_variance": 0.0}, "local_variance must be above 0, got 0"),
            ({"copies": 0}, "copies must be at least 1, got 0"),
            ({"nominal": (5,)}, r"nominal must name attributes 0 .. 4, got 5"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, wrong, says):
        with pytest.raises(Refusal, match=says):
            munge(**{"samples": samples(), "random": random()} | wrong)

    def test_is_the_one_that_the_package_offers(self):
        assert package_munge is munge


def _first_exchange(pair: torch.Tensor, seed: int, s: float) -> torch.Tensor:
    """Where the first sample lands when it alone is exchanged: a third, distant one takes the second turn's place."""
    coins = torch.rand(2, 1, generator=random(seed), dtype=torch.float64)
    first_only = float(coins[0]) if coins[0] < coins[1] else None
    if first_only is None:
        return torch.empty(0)
    probability = (float(coins[0]) + float(coins[1])) / 2  # between the two coins: the first falls, the second does not
    return munge(pair, random(seed), swap=probability, local_variance=s)[0]


def test_the_examples_are_true():
    import sys

    module = sys.modules["kdcore.schemes.offline.compression.munge"]
    assert doctest.testmod(module).failed == 0
