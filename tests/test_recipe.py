"""A recipe is plain data whose schedules can be worked out by hand."""

import math
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from kdcore.recipe import CHOICES, Recipe


class TestRate:
    def test_steps_divide_by_ten_after_150_180_and_210_of_240_epochs(self):
        rates = [Recipe().rate(epoch / 240) for epoch in (0, 149, 150, 179, 180, 209, 210, 239)]
        assert rates == pytest.approx([0.05, 0.05, 0.005, 0.005, 5e-4, 5e-4, 5e-5, 5e-5])

    def test_steps_take_their_own_milestones_and_factor(self):
        recipe = Recipe(learning_rate=1.0, milestones=(0.5,), gamma=0.25)
        assert [recipe.rate(p) for p in (0.0, 0.4999, 0.5, 1.0)] == [1.0, 1.0, 0.25, 0.25]

    def test_one_cycle_rises_from_a_25th_over_three_tenths_and_falls_as_a_cosine(self):
        recipe = Recipe(learning_rate=0.5, schedule="one-cycle")
        rises = {0.0: 0.02, 0.15: (0.02 + 0.5) / 2, 0.3: 0.5}
        falls = {0.65: 0.25, 0.3 + 0.7 / 3: 0.5 * 0.75, 0.3 + 1.4 / 3: 0.5 * 0.25, 1.0: 0.0}
        for progress, rate in (rises | falls).items():
            assert recipe.rate(progress) == pytest.approx(rate, abs=1e-12)

    def test_cosine_halves_in_the_middle_and_ends_at_nothing(self):
        recipe = Recipe(learning_rate=0.2, schedule="cosine")
        quarter = 0.1 * (1 + math.sqrt(0.5))
        assert [recipe.rate(p) for p in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([0.2, quarter, 0.1, 0.0], abs=1e-15)

    def test_constant_stays(self):
        assert {Recipe(schedule="constant").rate(p / 10) for p in range(11)} == {0.05}

    @pytest.mark.parametrize("schedule", CHOICES["schedule"])
    def test_never_exceeds_the_learning_rate_nor_falls_below_nothing(self, schedule):
        recipe = Recipe(learning_rate=0.3, schedule=schedule)
        rates = [recipe.rate(p / 1000) for p in range(1001)]
        assert max(rates) == pytest.approx(0.3) and min(rates) >= 0


class TestLength:
    @pytest.mark.parametrize(
        ("changes", "samples", "share", "length"),
        [
            ({"epochs": 2, "batch_size": 64}, 1000, 1.0, (30, 15)),
            ({"epochs": 240, "batch_size": 64}, 50_000, 1.0, (240 * 781, 781)),
            ({"epochs": 1.5, "batch_size": 10}, 100, 1.0, (15, 10)),
            ({"epochs": 1.1, "batch_size": 1}, 100, 1.0, (110, 100)),  # 1.1 * 100 is a little more than 110
            ({"epochs": 0.01, "batch_size": 10}, 100, 1.0, (1, 10)),
            ({"steps": 350}, 100, 1.0, (350, 1)),
            ({"steps": 350}, 100, 0.5, (175, 1)),
            ({"steps": 3}, 100, 0.5, (2, 1)),
            ({"steps": 7}, 10, 1.0, (7, 1)),
        ],
    )
    def test_is_steps_and_steps_an_epoch(self, changes, samples, share, length):
        assert Recipe(**changes).length(samples, share) == length


class TestRefusal:
    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"epochs": 0}, "epochs must be above 0, got 0"),
            ({"epochs": float("nan")}, "epochs must be above 0, got nan"),
            ({"batch_size": -1}, "batch_size must be above 0, got -1"),
            ({"threads": 0}, "threads must be above 0, got 0"),
            ({"learning_rate": -0.1}, "learning_rate must be at least 0, got -0.1"),
            ({"momentum": float("nan")}, "momentum must be at least 0, got nan"),
            ({"weight_decay": -1e-4}, "weight_decay must be at least 0, got -0.0001"),
            ({"steps": 0}, "steps must be at least 1, got 0"),
            ({"clip": 0.0}, "clip must be above 0, or None for no limit, got 0.0"),
            ({"milestones": (0.5, 150)}, r"milestones must lie in 0 .. 1, fractions of the stage, got \(0.5, 150\)"),
            ({"optimizer": "rmsprop"}, "optimizer must be one of sgd, adam, adamw, got 'rmsprop'"),
            ({"schedule": "linear"}, "schedule must be one of steps, one-cycle, cosine, constant, got 'linear'"),
            ({"precision": "float16"}, "precision must be one of float32, bfloat16, got 'float16'"),
            ({"evaluate": "never"}, "evaluate must be one of epoch, end, got 'never'"),
        ],
    )
    def test_is_a_sentence(self, changes, sentence):
        with pytest.raises(ValueError, match=sentence):
            Recipe(**changes)

    @pytest.mark.parametrize("name", CHOICES)
    def test_every_choice_that_is_offered_is_taken(self, name):
        assert [getattr(replace(Recipe(), **{name: choice}), name) for choice in CHOICES[name]] == list(CHOICES[name])


class TestData:
    def test_cannot_be_changed_and_equal_ones_are_the_same_key(self):
        with pytest.raises(FrozenInstanceError):
            Recipe().epochs = 3
        assert {Recipe(): 1}[Recipe()] == 1 and Recipe() != Recipe(nesterov=True)

    def test_its_words_are_those_of_a_profile(self):
        """An experiment's profile names these fields, and a record's hash holds them."""
        plain = (int, float, str, bool, tuple, type(None))
        assert all(isinstance(getattr(Recipe(), field.name), plain) for field in fields(Recipe))

    def test_loads_no_torch(self):
        code = "import sys, kdcore.recipe; print('torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
