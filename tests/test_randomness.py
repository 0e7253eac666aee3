"""Every stream of random numbers is derived from its name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from kdcore.randomness import generator, seed_layers, seeded, stream_key


class TestStreamKey:
    def test_depends_on_every_part_of_the_path(self):
        paths = [(0, "order", 1), (1, "order", 1), (0, "view:weak", 1), (0, "order", 2), (0, "order")]
        paths += [("0", "order", 1), (0, "or", "der", 1), (0, ("order", 1)), ()]
        assert len({stream_key(*path) for path in paths}) == len(paths)

    @pytest.mark.slow
    def test_depends_on_nothing_else(self):
        """Python's hash of a string differs from process to process; another process must draw the same numbers."""
        code = "from kdcore.randomness import stream_key; print(stream_key(3, 'order', 7))"
        environment = os.environ | {"PYTHONHASHSEED": "77", "PYTHONPATH": str(Path(__file__).parents[1])}
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment).stdout
        assert int(found) == stream_key(3, "order", 7)

    def test_is_a_seed_that_torch_takes(self):
        keys = [stream_key(0, "order", step) for step in range(2000)]
        assert all(0 <= key < 2**63 for key in keys) and len(set(keys)) == 2000
        assert max(keys) > 2**62 and min(keys) < 2**60


class TestGenerator:
    def test_starts_where_its_path_says(self):
        one, other = (torch.rand(5, generator=generator(3, "view", 8)) for _ in range(2))
        assert torch.equal(one, other)

    def test_does_not_touch_the_default_one(self):
        before = torch.random.get_rng_state()
        torch.rand(5, generator=generator(3, "view", 8))
        assert torch.equal(torch.random.get_rng_state(), before)

    @pytest.mark.parametrize("place", ["seed", "stream", "step"])
    def test_neighbouring_streams_are_independent(self, place):
        """First numbers of 4,000 neighbours: flat, and neither neighbours nor their own next numbers go together."""
        paths = {
            "seed": [(n, "order", 0) for n in range(4000)],
            "stream": [(0, f"client{n}", 0) for n in range(4000)],
            "step": [(0, "order", n) for n in range(4000)],
        }
        drawn = torch.stack([torch.rand(2, generator=generator(*path), dtype=torch.float64) for path in paths[place]])
        first, second = drawn.T
        counts = torch.histc(first, 20, 0, 1)
        assert ((counts - 200) ** 2 / 200).sum() < 45.3  # chi-square with 19 degrees of freedom, one in 1,700
        pairs = [(first[:-1], first[1:]), (first, second), (first[:-10], first[10:])]
        for one, other in pairs:
            assert torch.corrcoef(torch.stack([one, other]))[0, 1].abs() < 4 / 4000**0.5


class TestSeedLayers:
    def test_decides_what_dropout_draws(self):
        dropout, seen = nn.Dropout(), []
        for path in ((0, "layers", 1), (0, "layers", 2), (0, "layers", 1)):
            seed_layers(*path)
            seen.append(dropout(torch.ones(64)))
        assert torch.equal(seen[0], seen[2]) and not torch.equal(seen[0], seen[1])


class TestSeeded:
    def test_weights_depend_on_the_path_alone(self):
        torch.rand(7)
        one = seeded(lambda: nn.Linear(4, 3), 0, "init", "student")
        torch.rand(3)
        same = seeded(lambda: nn.Linear(4, 3), 0, "init", "student")
        other = seeded(lambda: nn.Linear(4, 3), 0, "init", "peer1")
        assert torch.equal(one.weight, same.weight) and not torch.equal(one.weight, other.weight)

    def test_the_default_generator_is_put_back_also_after_an_error(self):
        before = torch.random.get_rng_state()
        seeded(lambda: nn.Linear(4, 3), 0, "init")
        with pytest.raises(ZeroDivisionError):
            seeded(lambda: (torch.rand(1), 1 / 0), 0, "init")
        assert torch.equal(torch.random.get_rng_state(), before)
