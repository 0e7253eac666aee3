"""What a reader may rely on in measures of doubt, one claim a test."""

import math

import pytest
import torch

from kdcore.losses.response.uncertainty import MEASURES, entropy, least_confidence, margin

ANSWERS = torch.tensor([[0.5, 0.25, 0.25], [0.9, 0.06, 0.04], [0.4, 0.4, 0.2]], dtype=torch.float64).log()


class TestMeasures:
    def test_values_worked_by_hand(self):
        first = 0.5 * math.log(2) + 0.5 * math.log(4)
        assert entropy(ANSWERS)[0].item() == pytest.approx(first)
        assert margin(ANSWERS).tolist() == pytest.approx([1 - 0.25, 1 - 0.84, 1.0])
        assert least_confidence(ANSWERS).tolist() == pytest.approx([0.5, 0.1, 0.6])

    @pytest.mark.parametrize("name", MEASURES)
    def test_higher_for_a_less_certain_answer(self, name):
        measure = MEASURES[name]
        heated = torch.stack([measure(ANSWERS / t) for t in (0.5, 1.0, 2.0, 8.0)])
        assert (heated[1:] - heated[:-1] >= -1e-12).all() and (heated[-1] > heated[0]).any()

    @pytest.mark.parametrize(("name", "most"), [("entropy", math.log(7)), ("margin", 1.0), ("least-confidence", 6 / 7)])
    def test_highest_when_all_classes_are_alike_and_zero_when_certain(self, name, most):
        alike, certain = torch.zeros(1, 7), 900.0 * torch.eye(7)[:1]
        assert MEASURES[name](alike).item() == pytest.approx(most, rel=1e-6) and MEASURES[name](certain).item() == 0

    @pytest.mark.parametrize("name", MEASURES)
    def test_ignores_a_shift_and_how_classes_are_numbered(self, name, sines):
        scores = sines(8, 10, speed=0.7)
        value = MEASURES[name](scores)
        torch.testing.assert_close(MEASURES[name](scores[:, torch.arange(10) * 3 % 10] + 4), value)

    @pytest.mark.parametrize("name", MEASURES)
    def test_finite_where_a_probability_rounds_to_zero(self, name, sines):
        assert MEASURES[name](500 * sines(8, 10, speed=0.7, dtype=torch.float32)).isfinite().all()

    def test_measures_rank_examples_differently(self):
        tie, spread = [0.5, 0.5, 0.0001, 0.0001], [0.55, 0.15, 0.15, 0.15]
        answers = torch.tensor([tie, spread], dtype=torch.float64).log()
        assert margin(answers).argmax() == 0 and entropy(answers).argmax() == 1

    @pytest.mark.parametrize(
        ("name", "shape", "says"),
        [
            ("entropy", (5,), r"logits must have shape \(batch, classes\), .* got \(5,\)"),
            ("margin", (5, 1), "logits must have at least 2 classes, got 1"),
            ("least-confidence", (0, 3), "none of them 0"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, name, shape, says):
        with pytest.raises(ValueError, match=says):
            MEASURES[name](torch.zeros(shape))
