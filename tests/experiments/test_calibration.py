"""What is compared before a table is made cheaper differs in nothing else, and trains."""

from __future__ import annotations

import pytest

from kdcore.experiments.calibration import COMPRESSED, PRECISION
from kdcore.experiments.requests import Request
from kdcore.experiments.running import run


class TestRows:
    @pytest.mark.parametrize("profile", list(PRECISION.profiles))
    def test_precision_changes_and_nothing_else_does(self, profile):
        single, half = Request.of(PRECISION, profile, seeds=[0]).runs()
        assert (single.recipe.precision, half.recipe.precision) == ("float32", "bfloat16")
        assert vars(single.recipe) | {"precision": "bfloat16"} == vars(half.recipe) and single.settings == half.settings

    def test_five_seeds_are_paired_beside_the_shortest_profile(self):
        assert all(PRECISION.seeds_of(profile) == (0, 1, 2, 3, 4) for profile in ("quick", "short", "paper"))
        assert COMPRESSED.seeds_of("paper") == (0, 1, 2, 3, 4)

    def test_a_shorter_training_lowers_its_rate_at_the_same_parts(self):
        runs = {run.row.key: run.recipe for run in Request.of(COMPRESSED, "paper", seeds=[0]).runs()}
        assert {recipe.epochs for recipe in runs.values()} == {240.0, 100.0, 80.0, 60.0} and len(runs) == 8
        for part in (0.0, 0.6, 0.65, 0.8, 0.9):
            assert len({recipe.rate(part) for recipe in runs.values()}) == 1


class TestTraining:
    def test_both_precisions_train_and_differ(self, with_teacher):
        single, half = run(PRECISION, "smoke", seeds=[0])
        assert (single["status"], half["status"]) == ("done", "done")
        assert single["last"]["cross_entropy"] != half["last"]["cross_entropy"]
        assert single["last"]["cross_entropy"] == pytest.approx(half["last"]["cross_entropy"], rel=0.1)

    def test_a_teacher_whose_logits_are_tabulated_teaches_the_same(self, with_teacher):
        """Its table is another recipe, so that the records stay apart."""
        found = {
            how: run(PRECISION, "smoke", methods=["float32"], seeds=[0], overrides={"recipe.tabulate": how})[0]
            for how in (False, True, "logits")
        }
        assert len({record["hash"] for record in found.values()}) == 3
        asked = found[False]["last"]["cross_entropy"]
        assert [record["last"]["cross_entropy"] for record in found.values()] == pytest.approx([asked] * 3, rel=1e-3)
