"""What a reader may rely on in decoupled distillation, one claim a test."""

import math

import pytest
import torch

from kdcore.losses import ce_ground_truth_loss, dkd_loss, dkd_survey_loss, kd_loss, standardise
from kdcore.losses.response.decoupled import DKD, ENTRIES
from kdcore.types import Refusal


def softened(row: list[float], temperature: float) -> list[float]:
    powers = [math.exp(z / temperature) for z in row]
    return [power / sum(powers) for power in powers]


def naive(student, teacher, targets, alpha: float, beta: float, temperature: float) -> float:
    """The equation of the paper, number by number."""
    total = 0.0
    for s, t, y in zip(student.tolist(), teacher.tolist(), targets.tolist()):
        p, q = softened(t, temperature), softened(s, temperature)
        target = p[y] * math.log(p[y] / q[y]) + (1 - p[y]) * math.log((1 - p[y]) / (1 - q[y]))
        others = [(a / (1 - p[y]), b / (1 - q[y])) for j, (a, b) in enumerate(zip(p, q)) if j != y]
        total += alpha * target + beta * sum(a * math.log(a / b) for a, b in others)
    return temperature**2 * total / len(targets)


class TestDKD:
    def test_value_worked_by_hand(self):
        teacher, student = torch.tensor([[0.6, 0.3, 0.1]]).log(), torch.tensor([[0.5, 0.25, 0.25]]).log()
        value = dkd_loss(student, teacher, torch.tensor([0]), alpha=1, beta=8, temperature=1)
        target = 0.6 * math.log(0.6 / 0.5) + 0.4 * math.log(0.4 / 0.5)  # (0.6, 0.4) against (0.5, 0.5)
        others = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)  # (3/4, 1/4) against (1/2, 1/2)
        assert value.item() == pytest.approx(target + 8 * others, rel=1e-5)

    @pytest.mark.parametrize("temperature", [1.0, 4.0])
    @pytest.mark.parametrize(("alpha", "beta"), [(1.0, 8.0), (0.0, 1.0), (2.0, 0.0)])
    def test_is_the_equation_of_the_paper(self, case, alpha, beta, temperature):
        value = dkd_loss(*case, alpha=alpha, beta=beta, temperature=temperature)
        assert value.item() == pytest.approx(naive(*case, alpha, beta, temperature), rel=1e-10)

    def test_agrees_with_the_authors_code(self, case, reference, found, theirs):
        for known in reference("dkd"):
            mine = found(dkd_loss(*case, **known["settings"]), case[0], known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_on_standardised_scores_it_agrees_with_those_authors_code(self, case, reference, found, theirs):
        student, teacher, targets = case
        for known in reference("dkd-logit-std"):
            value = dkd_loss(standardise(1e6 * student), standardise(1e6 * teacher), targets, **known["settings"])
            assert found(value, student, known["gradient_at"]) == pytest.approx(theirs(known), rel=1e-10)

    def test_with_normkd_it_agrees_with_those_authors_code(self, case, asked, reference, found, theirs):
        settings = {entry.key: entry.settings for entry in ENTRIES}["normkd-dkd"]
        for known in reference("normkd-dkd"):
            (term,) = DKD(**settings | known["settings"]).losses(*asked(*case)).values()
            assert found(term.value, case[0], known["gradient_at"]) == pytest.approx(theirs(known), rel=1e-10)

    def test_parts_add_up_to_distillation(self, case):
        student, teacher, targets = case
        whole = kd_loss(student, teacher, temperature=1.0, reduction="none")
        one = dkd_loss(*case, alpha=1, beta=0, temperature=1, reduction="none")
        two = dkd_loss(*case, alpha=0, beta=1, temperature=1, reduction="none")
        p_y = teacher.softmax(1).gather(1, targets[:, None])[:, 0]
        torch.testing.assert_close(one + (1 - p_y) * two, whole)

    def test_zero_when_equal_up_to_a_shift_and_only_then(self, case):
        _, teacher, targets = case
        assert dkd_loss(teacher + 3, teacher, targets).item() == pytest.approx(0, abs=1e-12)
        assert dkd_loss(1.1 * teacher, teacher, targets) > 1e-3  # it is not invariant to the scale

    def test_does_not_care_how_other_classes_are_numbered(self, case):
        student, teacher, targets = case
        order = torch.arange(10) * 3 % 10  # where each class goes
        moved = [torch.empty_like(x).index_copy(1, order, x.detach()) for x in (student, teacher)]
        torch.testing.assert_close(dkd_loss(*moved, order[targets]), dkd_loss(*case))
        assert abs(dkd_loss(*case) - dkd_loss(student, teacher, (targets + 1) % 10)) > 1  # but which class is true

    def test_other_classes_ignore_the_target_logit(self, case):
        student, teacher, targets = case
        louder = student.detach().scatter_add(1, targets[:, None], torch.full((8, 1), 5.0, dtype=torch.float64))
        rest, whole = {"alpha": 0.0, "beta": 1.0}, {"alpha": 1.0, "beta": 1.0}
        torch.testing.assert_close(dkd_loss(louder, teacher, targets, **rest), dkd_loss(*case, **rest))
        assert abs(dkd_loss(louder, teacher, targets, **whole) - dkd_loss(*case, **whole)) > 0.5

    def test_two_classes_leave_nothing_to_rank(self, sines):
        student, teacher = sines(4, 2, speed=0.7), sines(4, 2, speed=1.3)
        assert dkd_loss(student, teacher, torch.tensor([0, 1, 0, 1]), alpha=0) == 0

    @pytest.mark.parametrize("scale", [100.0, 500.0])
    def test_stays_finite_where_the_authors_form_overflows(self, case, scale):
        student = (scale * case[0].detach()).float().requires_grad_()
        loss = dkd_loss(student, scale * case[1].float(), case[2])
        loss.backward()
        assert loss.isfinite() and student.grad.isfinite().all()

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"teacher_logits": torch.zeros(1, 10)}, ValueError, r"student_logits and teacher_logits .* \(8, 10\) and"),
            ({"targets": torch.zeros(8, 1).long()}, ValueError, r"targets must have shape \(8,\).* got \(8, 1\)"),
            ({"targets": torch.full((8,), 10)}, ValueError, r"targets must lie in 0 .. 9, got 10"),
            ({"targets": torch.zeros(8)}, TypeError, "targets must hold whole numbers"),
            ({"temperature": 0.0}, ValueError, "temperature must be above 0, got 0"),
            ({"beta": -1.0}, ValueError, "beta must be at least 0, got -1"),
            ({"alpha": float("nan")}, ValueError, "alpha must be at least 0, got nan"),
            ({"reduction": "average"}, ValueError, "reduction must be 'mean', 'sum' or 'none', got 'average'"),
        ],
    )
    @pytest.mark.parametrize("loss", [dkd_loss, dkd_survey_loss])
    def test_bad_input_is_answered_in_a_sentence(self, case, loss, change, error, says):
        with pytest.raises(error, match=says):
            loss(**dict(zip(("student_logits", "teacher_logits", "targets"), case)) | change)

    @pytest.mark.parametrize("says", ["logits must have at least 2 classes, got 1"])
    def test_one_class_is_answered_in_a_sentence(self, says):
        with pytest.raises(ValueError, match=says):
            dkd_loss(torch.zeros(2, 1), torch.zeros(2, 1), torch.zeros(2, dtype=torch.long))

    def test_method_warms_up_over_a_twelfth(self, case, asked):
        (term,) = DKD().losses(*asked(*case)).values()
        assert [term.weight_at(p) for p in (0.0, 1 / 24, 1 / 12, 1.0)] == pytest.approx([0, 0.5, 1, 1])
        assert term.value == dkd_loss(*case)
        (steady,) = DKD(warm_up=0.0, weight=3.0).losses(*asked(*case)).values()
        assert steady.weight_at(0.0) == 3.0

    def test_method_with_logit_standardisation_is_nine_times_the_loss_on_standardised_scores(self, case, asked):
        settings = {entry.key: entry.settings for entry in ENTRIES}["dkd-logit-std"]
        (term,) = DKD(**settings).losses(*asked(*case)).values()
        student, teacher = standardise(case[0]), standardise(case[1])
        nine = dkd_loss(student, teacher, case[2], alpha=9.0, beta=72.0, temperature=2.0)
        torch.testing.assert_close(term.weight_at(1.0) * term.value, nine)

    def test_method_refuses_settings_out_of_range(self):
        with pytest.raises(Refusal, match="beta must be at least 0, got -1"):
            DKD(beta=-1.0)


class TestDKDSurvey:
    def test_value_worked_by_hand(self):
        teacher, student = torch.tensor([[0.6, 0.3, 0.1]]).log(), torch.tensor([[0.5, 0.25, 0.25]]).log()
        value = dkd_survey_loss(student, teacher, torch.tensor([0]), alpha=2.0, beta=3.0, temperature=1.0)
        others = 0.3 * math.log(0.3 / 0.25) + 0.1 * math.log(0.1 / 0.25)
        assert value.item() == pytest.approx(2 * math.log(2) + 3 * others, rel=1e-5)

    @pytest.mark.parametrize("temperature", [1.0, 4.0])
    def test_is_the_equation_as_printed(self, case, temperature):
        total = 0.0
        for s, t, y in zip(*(values.tolist() for values in case)):
            p, q = softened(t, temperature), softened(s, temperature)
            total += -math.log(q[y]) + 8 * sum(p[j] * math.log(p[j] / q[j]) for j in range(10) if j != y)
        assert dkd_survey_loss(*case, temperature=temperature).item() == pytest.approx(total / 8, rel=1e-10)

    def test_first_term_never_looks_at_the_teacher(self, case):
        student, teacher, targets = case
        first = dkd_survey_loss(student, teacher, targets, beta=0.0, temperature=1.0)
        torch.testing.assert_close(first, ce_ground_truth_loss(student, targets))
        torch.testing.assert_close(dkd_survey_loss(student, -teacher, targets, beta=0.0, temperature=1.0), first)

    def test_agreement_is_neither_zero_nor_a_resting_place(self, case):
        student, targets = case[1].clone().requires_grad_(), case[2]
        value = dkd_survey_loss(student, case[1], targets)
        (gradient,) = torch.autograd.grad(value, student)
        assert value > 0.5 and gradient.norm() > 0.01
        assert dkd_loss(student, case[1], targets).item() == pytest.approx(0, abs=1e-12)

    def test_second_term_keeps_the_factor_that_the_paper_removes(self, case):
        student, teacher, targets = case
        printed = dkd_survey_loss(*case, alpha=0.0, beta=1.0, temperature=1.0, reduction="none")
        rest = dkd_loss(*case, alpha=0.0, beta=1.0, temperature=1.0, reduction="none")
        left, left_student = (1 - z.softmax(1).gather(1, targets[:, None])[:, 0] for z in (teacher, student))
        torch.testing.assert_close(printed, left * rest + left * (left / left_student).log())
        blind = teacher.scatter(1, targets[:, None], -60.0)  # as the teacher, but without the true class
        assert dkd_survey_loss(blind, teacher, targets, alpha=0.0, beta=1.0) < 0  # so it is no divergence

    def test_method_takes_it_where_told(self, case, asked):
        method = DKD(printed=True)
        (term,) = method.losses(*asked(*case)).values()
        assert term.value == dkd_survey_loss(*case) and not method.zero_at_agreement
