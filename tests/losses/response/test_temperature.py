"""What a reader may rely on in dynamic temperatures, one claim a test."""

import math

import pytest
import torch

from kdcore.losses import adjust_knowledge, dtd_loss, kd_loss
from kdcore.losses.response.temperature import DTD, dynamic_temperatures
from kdcore.types import Refusal


def difficulty(student: list[float], teacher: list[float], form: str, gamma: float) -> float:
    if form == "cwsm":
        powers = [math.exp(z) for z in student]
        return sum(powers) / max(powers)
    lengths = [math.sqrt(sum(z * z for z in row)) for row in (student, teacher)]
    return (1 - sum(a * b for a, b in zip(student, teacher)) / math.prod(lengths)) ** gamma


def naive(student, teacher, form: str, temperature: float, bias: float, gamma: float, lowest: float) -> float:
    """The equation, example by example."""
    rows = list(zip(student.tolist(), teacher.tolist()))
    weights = [difficulty(s, t, form, gamma) for s, t in rows]
    total = 0.0
    for (s, t), w in zip(rows, weights):
        tau = max(lowest, temperature + bias * (sum(weights) / len(weights) - w))
        p, q = ([math.exp(z / tau) for z in row] for row in (t, s))
        p, q = [x / sum(p) for x in p], [x / sum(q) for x in q]
        total += tau**2 * sum(a * math.log(a / b) for a, b in zip(p, q))
    return total / len(rows)


class TestDTD:
    def test_value_worked_by_hand(self):
        student = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        teacher = torch.tensor([[2.0, 0.0], [0.0, 2.0]])  # no angle, then a right one: difficulties 0 and 1
        value = dtd_loss(student, teacher, temperature=1.5, bias=1.0)  # so temperatures 2 and 1
        sigmoid = lambda z: 1 / (1 + math.exp(-z))
        divergence = lambda p, q: p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
        by_hand = (2**2 * divergence(sigmoid(1), sigmoid(1 / 2)) + divergence(sigmoid(-2), sigmoid(1))) / 2
        assert value.item() == pytest.approx(by_hand, rel=1e-5)

    @pytest.mark.parametrize("form", ["flsw", "cwsm"])
    @pytest.mark.parametrize("lowest", [0.5, 3.9])
    def test_is_the_equation(self, pair, form, lowest):
        value = dtd_loss(*pair, form=form, temperature=4.0, bias=2.0, gamma=1.5, lowest=lowest)
        assert value.item() == pytest.approx(naive(*pair, form, 4.0, 2.0, 1.5, lowest), rel=1e-9)

    def test_temperatures_agree_with_other_peoples_code(self, pair, reference):
        for known in reference("dtd"):
            mine = dynamic_temperatures(*pair, **known["settings"])
            assert mine.tolist() == pytest.approx(known["temperatures"], rel=known.get("tolerance", 1e-10))

    def test_without_bias_it_is_distillation(self, pair):
        torch.testing.assert_close(dtd_loss(*pair, bias=0.0, temperature=3.0), kd_loss(*pair, temperature=3.0))

    @pytest.mark.parametrize("form", ["flsw", "cwsm"])
    def test_temperatures_average_to_the_base_and_fall_with_difficulty(self, pair, form):
        tau = dynamic_temperatures(*pair, form=form, bias=0.5, lowest=0.01)
        hard = torch.tensor([difficulty(s, t, form, 2.0) for s, t in zip(pair[0].tolist(), pair[1].tolist())])
        assert tau.mean().item() == pytest.approx(4.0)
        assert torch.equal(tau.argsort(), hard.argsort(descending=True))

    def test_an_unsure_answer_cannot_take_the_temperature_below_the_floor(self):
        student = torch.zeros(4, 100)
        student[1:, 0] = 50.0  # three certain, one that finds all hundred classes alike
        tau = dynamic_temperatures(student, student, form="cwsm", bias=1.0)
        assert tau[0] == 1.0 and (4.0 + (1 + 99 / 4) - 100) < 0

    def test_temperatures_are_constants(self, pair):
        student, teacher = pair
        tau = dynamic_temperatures(student, teacher)
        p, q = ((z / tau[:, None]).softmax(1) for z in (teacher, student))
        (gradient,) = torch.autograd.grad(dtd_loss(student, teacher), student)
        torch.testing.assert_close(gradient, (tau[:, None] * (q - p)).detach() / 8)

    def test_zero_when_equal_up_to_a_shift_and_only_then(self, pair):
        _, teacher = pair
        assert dtd_loss(teacher + 3, teacher).item() == pytest.approx(0, abs=1e-12)
        assert dtd_loss(1.1 * teacher, teacher) > 1e-3

    def test_an_example_depends_on_its_batch(self, pair):
        alone = sum(dtd_loss(s[None], t[None]) for s, t in zip(*pair)) / 8
        assert abs(alone - dtd_loss(*pair)) > 1e-3 and torch.isclose(alone, kd_loss(*pair))

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"teacher_logits": torch.zeros(1, 10)}, r"must have the same shape, got \(8, 10\) and \(1, 10\)"),
            ({"form": "focal"}, "form must be 'flsw' or 'cwsm', got 'focal'"),
            ({"temperature": 0.0}, "temperature must be above 0, got 0"),
            ({"lowest": 0.0}, "lowest must be above 0, got 0"),
            ({"gamma": -1.0}, "gamma must be at least 0, got -1"),
            ({"bias": -1.0}, "bias must be at least 0, got -1"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, pair, change, says):
        with pytest.raises(ValueError, match=says):
            dtd_loss(**dict(zip(("student_logits", "teacher_logits"), pair)) | change)

    def test_method_puts_wrong_answers_right_first(self, case, asked):
        student, teacher, targets = case
        (term,) = DTD().losses(*asked(*case)).values()
        assert term.value == dtd_loss(student, adjust_knowledge(teacher, targets))
        (term,) = DTD(adjusted=False, form="cwsm").losses(*asked(*case)).values()
        assert term.value == dtd_loss(student, teacher, form="cwsm")

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"form": "focal"}, "form must be 'flsw' or 'cwsm', got 'focal'"),
            ({"bias": -1.0}, "bias must be at least 0"),
        ],
    )
    def test_method_refuses_settings_out_of_range(self, settings, says):
        with pytest.raises(Refusal, match=says):
            DTD(**settings)
