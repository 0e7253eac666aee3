"""What a reader may rely on in the distillation token's losses, one claim a test."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.losses import (
    ce_ground_truth_loss,
    ce_teacher_hard_loss,
    deit_hard_loss,
    deit_soft_loss,
    deit_survey_loss,
    kd_loss,
)
from kdcore.losses.transformer.distillation_token import ENTRIES, DeiT
from kdcore.models import build
from kdcore.tokens import TokenOutputs
from kdcore.types import Batch, Clock, Data, Outputs, Refusal, Setting, Task

LOSSES = (deit_soft_loss, deit_survey_loss, deit_hard_loss)
KEYS = {entry.key: entry.settings for entry in ENTRIES}


@pytest.fixture
def four(case, sines) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What the class token, the distillation token and the teacher say, and the targets."""
    student, teacher, targets = case
    return student, sines(8, 10, speed=0.9).requires_grad_(), teacher, targets


def setting(student: Outputs) -> Setting:
    teacher = Outputs(torch.empty(2, 10, device="meta"))
    return Setting(student, teacher, classes=10, samples=100, teacher_network=nn.Identity())


def answers(four) -> tuple[TokenOutputs, Outputs, Batch]:
    student, distillation, teacher, targets = four
    data = Data(torch.zeros(8, 1), targets, Task(), {})
    said = TokenOutputs(student, class_logits=student, distillation_logits=distillation)
    return said, Outputs(teacher), Batch(data, torch.arange(8), 0, Clock(0, 100, 10))


def softmax(scores: list[float], temperature: float) -> list[float]:
    powers = [math.exp(score / temperature) for score in scores]
    return [power / sum(powers) for power in powers]


def as_printed(four, temperature: float) -> list[tuple[float, float]]:
    """Both terms of each example, straight from the equation: the labels' and the teacher's."""
    rows = []
    for said, taught, teacher, target in zip(*(part.tolist() for part in four)):
        p, q = softmax(teacher, temperature), softmax(taught, temperature)
        divergence = sum(a * math.log(a / b) for a, b in zip(p, q))
        rows.append((-math.log(softmax(said, 1.0)[target]), temperature**2 * divergence))
    return rows


class TestDeitSoft:
    def test_value_worked_by_hand(self):
        teacher, even = torch.tensor([[0.6, 0.4]]).log(), torch.zeros(1, 2)
        divergence = 0.6 * math.log(1.2) + 0.4 * math.log(0.8)
        found = deit_soft_loss(even, even, teacher, torch.tensor([1]), weight=0.25)
        assert found.item() == pytest.approx(0.75 * math.log(2) + 0.25 * divergence, rel=1e-5)

    @pytest.mark.parametrize(("temperature", "weight"), [(1.0, 0.5), (3.0, 0.1), (0.5, 1.0)])
    def test_is_the_equation_with_its_weights(self, four, temperature, weight):
        expected = [(1 - weight) * told + weight * taught for told, taught in as_printed(four, temperature)]
        found = deit_soft_loss(*four, temperature=temperature, weight=weight, reduction="none")
        assert found.tolist() == pytest.approx(expected, rel=1e-10)

    def test_agrees_with_the_authors_code(self, four, reference, found, theirs):
        for known in reference("deit-soft"):
            value = deit_soft_loss(*four, **known["settings"])
            assert found(value, four[1], known["gradient_at"]) == pytest.approx(theirs(known), rel=1e-10)

    def test_the_released_form_divides_the_divergence_alone_by_the_classes(self, four):
        paper, released = (deit_soft_loss(*four, weight=1.0, form=form) for form in ("paper", "released"))
        assert released.item() == pytest.approx(paper.item() / 10, rel=1e-12)
        labels = (deit_soft_loss(*four, weight=0.0, form=form) for form in ("paper", "released"))
        assert len({value.item() for value in labels}) == 1

    def test_each_token_learns_from_its_own_master(self, four):
        student, distillation, teacher, targets = four
        slopes = torch.autograd.grad(deit_soft_loss(*four), (student, distillation))
        alone = torch.autograd.grad(ce_ground_truth_loss(student, targets) / 2, student)[0]
        torch.testing.assert_close(slopes[0], alone)
        taught = torch.autograd.grad(kd_loss(distillation, teacher, temperature=1.0) / 2, distillation)[0]
        torch.testing.assert_close(slopes[1], taught)

    def test_sees_no_shift_of_scores_but_which_token_says_what(self, four):
        student, distillation, teacher, targets = four
        shifted = deit_soft_loss(student + 3, distillation - 2, teacher + 1, targets)
        torch.testing.assert_close(shifted, deit_soft_loss(*four))
        assert abs(deit_soft_loss(distillation, student, teacher, targets) - deit_soft_loss(*four)) > 0.01

    def test_method_and_task_make_up_the_loss(self, four):
        said, taught, batch = answers(four)
        for key in ("deit-soft", "deit-soft-released"):
            method = DeiT(**KEYS[key])
            (term,) = method.losses(said, taught, batch).values()
            whole = method.task_weight * ce_ground_truth_loss(said.logits, batch.targets) + term.weight * term.value
            expected = deit_soft_loss(*four, form=KEYS[key].get("form", "paper"))
            torch.testing.assert_close(whole, expected)

    def test_gradients_of_a_network_reach_each_head_from_its_own_term(self):
        network = build("digits-deit-student", 10)
        images = torch.linspace(0, 1, 4 * 64).view(4, 1, 8, 8)
        said = network(images)
        F.cross_entropy(said.logits, torch.arange(4)).backward()
        assert network.classifier.weight.grad is not None and network.distillation_classifier.weight.grad is None
        batch = Batch(Data(images, torch.arange(4), Task(), {}), torch.arange(4), 0, Clock(0, 1, 1))
        method = DeiT.build(setting(said.detach()))
        (term,) = method.losses(network(images), Outputs(torch.eye(4, 10)), batch).values()
        network.zero_grad()
        term.value.backward()
        assert network.classifier.weight.grad is None and network.distillation_classifier.weight.grad.abs().sum() > 0

    @pytest.mark.parametrize("loss", LOSSES)
    @pytest.mark.parametrize(
        ("place", "change", "says"),
        [
            (1, lambda x: x[:1], "student_logits and student_distillation_logits must have the same shape"),
            (2, lambda x: x[:, :3], "must have the same shape"),
            (3, lambda x: x + 9, r"targets must lie in 0 \.\. 9"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, four, loss, place, change, says):
        given = list(four)
        given[place] = change(given[place])
        with pytest.raises(ValueError, match=says):
            loss(*given)

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"weight": 1.5}, "1 - weight must be at least 0"),
            ({"weight": -0.5}, "weight must be at least 0"),
            ({"temperature": 0.0}, "temperature must be above 0"),
            ({"form": "code"}, "form must be 'paper' or 'released', got 'code'"),
        ],
    )
    def test_settings_out_of_range_are_refused(self, four, settings, says):
        with pytest.raises(ValueError, match=says):
            deit_soft_loss(*four, **settings)

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({}, "deit-soft teaches a distillation token, and the student has none"),
            ({"hard": True}, "deit-hard teaches a distillation token, and the student has none"),
        ],
    )
    def test_method_refuses_a_student_without_the_token(self, settings, says):
        for student in (Outputs(torch.empty(2, 10)), TokenOutputs(torch.empty(2, 10))):
            with pytest.raises(Refusal, match=says):
                DeiT.build(setting(student), **settings)

    @pytest.mark.parametrize(("settings", "says"), [({"form": "x"}, "form must be"), ({"weight": -1.0}, "at least 0")])
    def test_method_refuses_impossible_settings(self, settings, says):
        with pytest.raises(Refusal, match=says):
            DeiT(**settings)


class TestDeitSurvey:
    def test_is_the_sum_as_printed(self, four):
        expected = [told + taught for told, taught in as_printed(four, 2.0)]
        assert deit_survey_loss(*four, temperature=2.0, reduction="none").tolist() == pytest.approx(expected, rel=1e-10)

    def test_is_twice_the_paper_at_one_half_and_no_multiple_of_it_elsewhere(self, four):
        printed, half, tenth = deit_survey_loss(*four), deit_soft_loss(*four), deit_soft_loss(*four, weight=0.1)
        slope = lambda value: torch.cat(torch.autograd.grad(value, four[:2], retain_graph=True)).flatten()
        assert printed.item() == pytest.approx(2 * half.item(), rel=1e-12)
        assert F.cosine_similarity(slope(printed), slope(half), 0).item() == pytest.approx(1, abs=1e-12)
        assert F.cosine_similarity(slope(printed), slope(tenth), 0).item() < 0.99

    def test_method_of_that_key_counts_both_terms_in_full(self, four):
        said, taught, batch = answers(four)
        method = DeiT(**KEYS["deit-zhao2026"])
        (term,) = method.losses(said, taught, batch).values()
        whole = method.task_weight * ce_ground_truth_loss(said.logits, batch.targets) + term.weight * term.value
        torch.testing.assert_close(whole, deit_survey_loss(*four))


class TestDeitHard:
    def test_value_worked_by_hand(self):
        told, taught = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.2, 0.8]]).log()
        found = deit_hard_loss(told, taught, torch.tensor([[3.0, -1.0]]), torch.tensor([1]), weight=0.25)
        assert found.item() == pytest.approx(0.75 * math.log(2) + 0.25 * math.log(5), rel=1e-6)

    def test_is_the_equation(self, four):
        expected = []
        for said, taught, teacher, target in zip(*(part.tolist() for part in four)):
            guess = max(range(10), key=teacher.__getitem__)
            both = softmax(said, 1.0)[target], softmax(taught, 1.0)[guess]
            expected.append(-sum(math.log(p) for p in both) / 2)
        assert deit_hard_loss(*four, reduction="none").tolist() == pytest.approx(expected, rel=1e-10)

    def test_agrees_with_the_authors_code(self, four, reference, found, theirs):
        for known in reference("deit-hard"):
            value = deit_hard_loss(*four, **known["settings"])
            assert found(value, four[1], known["gradient_at"]) == pytest.approx(theirs(known), rel=1e-10)

    def test_sees_the_teachers_choice_alone(self, four):
        student, distillation, teacher, targets = four
        sharper = deit_hard_loss(student, distillation, 5 * teacher, targets)
        assert sharper == deit_hard_loss(*four)
        other = deit_hard_loss(student, distillation, -teacher, targets)
        assert abs(other - sharper) > 0.1

    def test_method_and_task_make_up_the_loss(self, four):
        said, taught, batch = answers(four)
        method = DeiT(**KEYS["deit-hard"])
        (term,) = method.losses(said, taught, batch).values()
        assert term.value == ce_teacher_hard_loss(four[1], four[2]) and not method.zero_at_agreement
        whole = method.task_weight * ce_ground_truth_loss(said.logits, batch.targets) + term.weight * term.value
        torch.testing.assert_close(whole, deit_hard_loss(*four))
