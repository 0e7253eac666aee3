from __future__ import annotations

import json
import math

import pytest

from kdcore.experiments import fitness
from kdcore.experiments.fitness import Likeness, Losses, gap, losses, told, values

FOUND = {
    "fit": True,
    "device": "cpu",
    "losses": {"gaps": {"kd": 1e-7, "at": 2e-6}, "drawing": ("crd",), "others": {}},
    "runs": {"in lockstep as alone": {"bits": False, "apart": 0.01}, "the same again": {"bits": True, "apart": 0.0}},
}


class TestGap:
    def test_is_relative_to_the_larger_of_one_and_the_right_number(self):
        assert gap({"a": [1e-3, 200.0]}, {"a": [2e-3, 202.0]}) == pytest.approx(0.01)
        assert gap({"a": 1.0, "b": "x"}, {"a": 1.0, "b": "x"}) == 0

    @pytest.mark.parametrize("other", [{"a": math.nan}, {"a": math.inf}, {"b": 1.0}, {"a": 1.0, "b": 1.0}])
    def test_what_is_missing_or_not_finite_is_as_far_as_can_be(self, other):
        assert gap({"a": 1.0}, other) == math.inf


class TestLosses:
    def test_single_precision_is_close_to_double(self):
        found = losses("cpu", ["kd", "at", "crd", "attn-map-distill"])
        assert set(found.gaps) == {"kd", "at"} and not found.wrong
        assert 0 < max(found.gaps.values()) < 1e-4  # single precision is really what is compared
        assert found.drawing == ("crd",) and "attn-map-distill" in found.others  # one draws, one asks for transformers

    def test_a_device_that_errs_in_the_third_digit_is_found(self, monkeypatch):
        import torch

        def erring(key, device, dtype, draw=0):
            right = values(key, device, dtype, draw)
            return {name: value * (1.002 if dtype == torch.float32 else 1) for name, value in right.items()}

        monkeypatch.setattr(fitness, "values", erring)
        assert set(losses("cpu", ["kd"]).wrong) == {"kd"}

    def test_a_value_that_is_no_number_is_wrong(self):
        assert Losses({"kd": math.nan}, (), {}).wrong.keys() == {"kd"}

    def test_nothing_is_left_as_it_was_not(self):
        import torch

        before = torch.Tensor.float
        values("kd", "cpu", torch.float64)
        assert torch.Tensor.float is before and torch.get_default_dtype() == torch.float32


class TestLikeness:
    def test_a_cpu_owes_bits_and_a_gpu_closeness(self):
        assert Likeness(True, 0.0).holds("cpu") and not Likeness(False, 1e-9).holds("cpu")
        assert Likeness(False, 0.01).holds("cuda") and not Likeness(False, 0.2).holds("cuda:0")


class TestAnswer:
    def test_is_told_in_a_few_lines(self):
        assert list(told(FOUND)) == [
            "cpu: 2 losses compared with double precision, the worst, at, off by 2.0e-06",
            "not compared: 1 that draw, 0 of other worlds",
            "in lockstep as alone: apart by 1.0e-02",
            "the same again: same bits",
            "fit",
        ]
        wrong = {**FOUND, "fit": False, "losses": FOUND["losses"] | {"gaps": {"kd": 0.5}}}
        assert list(told(wrong))[-1] == "NOT FIT: kd"

    @pytest.mark.slow
    def test_of_this_cpu_is_yes_to_the_bit(self, tmp_path, capsys):
        assert fitness.main(["--methods", "kd", "--json", str(tmp_path / "fit.json")]) == 0
        found = json.loads((tmp_path / "fit.json").read_text())
        assert found["fit"] and all(each["bits"] for each in found["runs"].values()) and len(found["runs"]) == 3
        assert capsys.readouterr().out.endswith("fit\n")
