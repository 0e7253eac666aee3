"""What a reader may rely on in correlations of answers, one claim a test."""

import math

import pytest
import torch
from torch.testing import assert_close

from kdcore.losses import dist_loss
from kdcore.losses.relation.answers import DIST, dist_parts
from kdcore.types import Outputs, Refusal


def softmax(row: list[float], temperature: float) -> list[float]:
    powers = [math.exp(z / temperature) for z in row]
    return [p / sum(powers) for p in powers]


def pearson(x: list[float], y: list[float]) -> float:
    x, y = ([a - sum(z) / len(z) for a in z] for z in (x, y))
    return sum(a * b for a, b in zip(x, y)) / math.sqrt(sum(a * a for a in x) * sum(b * b for b in y))


class TestDIST:
    def test_value_worked_by_hand(self):
        teacher = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]]).log()
        student = torch.tensor([[0.1, 0.3, 0.6], [0.2, 0.2, 0.6]]).log()  # first row turned round, second the same
        first = (-0.5 * 0.8 + 0 * -0.1) / 1  # centred: (8, -1, -7) / 30 and (-7, -1, 8) / 30
        first = (8 * -7 + 1 - 7 * 8) / (64 + 1 + 49)
        between = 1 - (first + 1) / 2
        inside = 1 - (-1 + 1 + 0) / 3  # 0.6 0.2 against 0.1 0.2; 0.3 0.2 twice; 0.1 0.6 against 0.6 0.6
        found = dist_loss(student, teacher, temperature=1.0, beta=2.0, gamma=3.0)
        assert found.item() == pytest.approx(2 * between + 3 * inside, rel=1e-4)

    @pytest.mark.parametrize("temperature", [1.0, 4.0])
    def test_is_the_equation(self, pair, temperature):
        q, p = ([softmax(row, temperature) for row in logits.tolist()] for logits in pair)
        between = 1 - sum(map(pearson, q, p)) / 8
        inside = 1 - sum(map(pearson, zip(*q), zip(*p))) / 10
        found = [part.item() for part in dist_parts(*pair, temperature)]
        assert found == pytest.approx([temperature**2 * between, temperature**2 * inside], rel=1e-5)  # but for the 1e-8

    def test_agrees_with_the_authors_code(self, pair, reference, found, theirs):
        for known in reference("dist"):
            mine = found(dist_loss(*pair, **known["settings"]), pair[0], known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_almost_zero_when_equal_up_to_a_shift_of_the_logits(self, pair):
        teacher = pair[1]
        assert dist_loss(teacher + 3, teacher).item() == pytest.approx(0, abs=1e-4)
        assert dist_loss(1.5 * teacher, teacher) > 1e-2

    def test_sees_the_batch_as_a_whole(self, pair):
        """A class's samples are ranked too, so a sample's price depends on its company."""
        whole, halves = dist_loss(*pair), [dist_loss(*(z[part] for z in pair)) for part in (slice(4), slice(4, 8))]
        assert abs(whole - sum(halves) / 2) > 1e-2
        assert_close(
            dist_loss(*pair, gamma=0.0),
            sum(dist_loss(*(z[part] for z in pair), gamma=0.0) for part in (slice(4), slice(4, 8))) / 2,
        )

    def test_one_sample_has_no_relation_inside_a_class(self, pair):
        student, teacher = (logits[:1] for logits in pair)
        between, inside = dist_parts(student, teacher, 4.0)
        assert inside.item() == 0 and (torch.autograd.grad(inside, pair[0], retain_graph=True)[0] == 0).all()
        assert between > 0

    def test_saturated_answers_pay_and_stay_finite(self, pair):
        student = (500 * pair[0].detach()).float().requires_grad_()
        value = dist_loss(student, pair[1].float(), temperature=1.0)
        assert value.isfinite() and torch.autograd.grad(value, student)[0].isfinite().all()

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"teacher_logits": torch.zeros(8, 9)}, "must have the same shape"),
            ({"temperature": 0.0}, "temperature must be above 0, got 0"),
            ({"beta": -1.0}, "beta must be at least 0, got -1"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, pair, change, says):
        with pytest.raises(ValueError, match=says):
            dist_loss(**dict(zip(("student_logits", "teacher_logits"), pair)) | change)

    def test_method_logs_both_terms(self, pair, batch_of):
        terms = DIST().losses(Outputs(pair[0]), Outputs(pair[1]), batch_of(torch.arange(8)))
        assert {name: term.weight for name, term in terms.items()} == {"dist_between": 2, "dist_inside": 2}
        assert_close(sum(term.value * term.weight for term in terms.values()), 2 * dist_loss(*pair))

    def test_method_refuses_answers_word_by_word(self, setting):
        with pytest.raises(Refusal, match="one answer a sample"):
            DIST.build(setting(logits=(4, 10)))
