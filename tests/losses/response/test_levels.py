"""What a reader may rely on in distillation at several levels, one claim a test."""

import math
from dataclasses import replace

import pytest
import torch

from kdcore.losses import ce_ground_truth_loss, kd_loss, mlkd_loss
from kdcore.losses.response.levels import ENTRIES, MLKD, share_of_unsure
from kdcore.types import Outputs, Refusal, Setting

LEVELS = ("instance", "batch", "class")


@pytest.fixture
def views(sines):
    """Student weak, teacher weak, student strong, teacher strong."""
    student, strong = sines(8, 10, speed=0.7).requires_grad_(), sines(8, 10, speed=1.9).requires_grad_()
    return student, sines(8, 10, speed=1.3), strong, sines(8, 10, speed=2.3)


@pytest.fixture
def seen(views, asked):
    """Both networks' answers to both views, and the batch."""
    targets = torch.arange(8) * 3 % 10
    student, teacher, batch = asked(*views[:2], targets)
    strong = dict(zip(("student", "teacher"), asked(*views[2:], targets)))
    student = replace(student, view={"strong": strong["student"]}.__getitem__)
    return student, replace(teacher, view={"strong": strong["teacher"]}.__getitem__), batch


def softened(rows: list[list[float]], temperature: float) -> list[list[float]]:
    powers = [[math.exp(z / temperature) for z in row] for row in rows]
    return [[power / sum(row) for power in row] for row in powers]


def _apart(left, right) -> float:
    """Squared differences of all inner products of rows, over the number of rows."""

    def product(rows, i: int, j: int) -> float:
        return sum(a * b for a, b in zip(rows[i], rows[j]))

    both = [(i, j) for i in range(len(left)) for j in range(len(left))]
    return sum((product(left, i, j) - product(right, i, j)) ** 2 for i, j in both) / len(left)


def naive(student, teacher, temperatures, weights=(1.0, 1.0, 1.0)) -> float:
    """The equation, number by number."""
    total = 0.0
    for t in temperatures:
        p, q = (softened(logits.tolist(), t) for logits in (teacher, student))
        one_by_one = sum(a * math.log(a / b) for x, y in zip(p, q) for a, b in zip(x, y)) * t**2 / len(p)

        columns = [list(zip(*rows)) for rows in (p, q)]
        total += sum(w * v for w, v in zip(weights, (one_by_one, _apart(p, q), _apart(*columns))))
    return total


class TestMLKD:
    def test_value_worked_by_hand(self):
        student, teacher = torch.zeros(2, 2), torch.tensor([[3.0, 1.0], [1.0, 3.0]]).log()
        value = mlkd_loss(student, teacher, temperatures=[1.0])
        divergence = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
        products = 2 * (10 / 16 - 1 / 2) ** 2 + 2 * (6 / 16 - 1 / 2) ** 2  # rows alike as columns are
        assert value.item() == pytest.approx(divergence + 2 * products / 2, rel=1e-5)

    @pytest.mark.parametrize("temperatures", [[1.0], [2.0, 3.0, 4.0, 5.0, 6.0]])
    @pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0.5, 0.0, 2.0)])
    def test_is_the_equation(self, pair, temperatures, weights):
        names = ("instance_weight", "batch_weight", "class_weight")
        value = mlkd_loss(*pair, temperatures=temperatures, **dict(zip(names, weights)))
        assert value.item() == pytest.approx(naive(*pair, temperatures, weights), rel=1e-10)

    def test_agrees_with_the_authors_code(self, pair, reference, found, theirs):
        for known in reference("mlkd"):
            mine = found(mlkd_loss(*pair, **known["settings"]), pair[0], known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_one_temperature_one_level_is_plain_distillation(self, pair):
        options = {"temperatures": [4.0], "batch_weight": 0.0, "class_weight": 0.0}
        torch.testing.assert_close(mlkd_loss(*pair, **options), kd_loss(*pair, temperature=4.0))

    def test_resemblances_ignore_what_the_first_level_sees(self, pair):
        student, teacher = pair
        order = torch.tensor([3, 0, 6, 9, 2, 5, 8, 1, 4, 7])
        alone = lambda name, *logits: mlkd_loss(*logits, **{f"{n}_weight": float(n == name) for n in LEVELS})
        for name in LEVELS:  # classes renumbered in both networks
            value = alone(name, student[:, order], teacher[:, order])
            torch.testing.assert_close(value, alone(name, student, teacher))
        shuffled = torch.tensor([1, 0, 3, 2, 5, 4, 7, 6])
        assert alone("batch", teacher[:, order], teacher).item() == pytest.approx(0, abs=1e-12)
        assert alone("class", teacher[shuffled], teacher).item() == pytest.approx(0, abs=1e-12)
        assert alone("batch", teacher[shuffled], teacher) > 0.01 and alone("instance", teacher[shuffled], teacher) > 1

    def test_zero_when_equal_up_to_a_shift(self, pair):
        _, teacher = pair
        assert mlkd_loss(teacher + 3, teacher).item() == pytest.approx(0, abs=1e-12)
        assert mlkd_loss(1.5 * teacher, teacher) > 0.1

    def test_one_example_has_a_value_at_every_level(self, pair):
        value = mlkd_loss(*(logits[:1] for logits in pair))
        assert value.item() == pytest.approx(naive(*(logits[:1] for logits in pair), [2, 3, 4, 5, 6]), rel=1e-10)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"teacher_logits": torch.zeros(8, 9)}, r"must have the same shape, got \(8, 10\) and \(8, 9\)"),
            ({"temperatures": []}, "temperatures must name at least one, got none"),
            ({"temperatures": [2.0, 0.0]}, "temperatures must be above 0, got 0"),
            ({"class_weight": -1.0}, "class_weight must be at least 0, got -1"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, pair, change, says):
        with pytest.raises(ValueError, match=says):
            mlkd_loss(**dict(zip(("student_logits", "teacher_logits"), pair)) | change)

    def test_method_matches_all_levels_on_both_views(self, views, seen):
        method = MLKD()
        terms = method.losses(*seen)
        matched = sum(terms[f"mlkd_{level}"].value for level in ("instance", "batch", "class"))
        torch.testing.assert_close(matched, mlkd_loss(*views[:2]) + mlkd_loss(*views[2:]))
        labels = ce_ground_truth_loss(views[2], torch.arange(8) * 3 % 10)
        torch.testing.assert_close(terms["mlkd_strong_task"].value, labels.float())
        weights = [term.weight for term in terms.values()]
        assert weights == [0.1, 0.9, 0.9, 0.9] and method.task_weight == 0.1

    def test_released_form_is_what_the_authors_code_computes(self, views, seen, reference):
        (known,) = reference("mlkd-released")
        settings = {entry.key: entry.settings for entry in ENTRIES}["mlkd-released"]
        terms = MLKD(**settings).losses(*seen)
        matched = {level: terms[f"mlkd_{level}"].value for level in ("instance", "class", "batch")}
        assert {k: 0.9 * v.item() for k, v in matched.items()} == pytest.approx(
            {k: known[k] for k in matched}, rel=1e-10
        )
        weak, strong = torch.autograd.grad(0.9 * sum(matched.values()), (views[0], views[2]))
        at = tuple(known["gradient_at"])
        mine = weak.norm().item(), weak[at].item(), strong.norm().item(), strong[at].item()
        names = ("gradient_norm", "gradient", "strong_gradient_norm", "strong_gradient")
        assert mine == pytest.approx([known[name] for name in names], rel=1e-10)

    def test_half_of_all_are_unsure_whatever_they_say(self):
        assert share_of_unsure(torch.tensor([0.1, 0.9, 0.3, 0.8])) == 0.5
        assert share_of_unsure(torch.tensor([0.1, 0.9, 0.3])) == pytest.approx(2 / 3)

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"form": "paper"}, "form must be 'views' or 'released', got 'paper'"),
            ({"form": "released", "temperatures": (4.0,)}, r"the released form has temperatures 2, 3, 4, 5 and 6, got"),
            ({"temperatures": ()}, "temperatures must be above 0, got 0"),
            ({"strong_task_weight": -0.1}, "strong_task_weight must be at least 0, got -0.1"),
        ],
    )
    def test_method_refuses_settings_out_of_range(self, settings, says):
        with pytest.raises(Refusal, match=says):
            MLKD(**settings)

    def test_method_refuses_answers_word_by_word(self):
        said = Outputs(torch.zeros(2, 7, 5))
        with pytest.raises(Refusal, match="mlkd compares one answer an example, and these networks answer word by"):
            MLKD.build(Setting(said, said, 5, 10, torch.nn.Identity()))
