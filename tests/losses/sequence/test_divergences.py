"""What a reader may rely on in the family between the two Kullback-Leibler divergences, one claim a test."""

import doctest
import math

import pytest
import torch
from torch import Tensor

from kdcore.losses.sequence import divergences
from kdcore.losses.sequence.divergences import generalised_jsd_loss
from kdcore.losses.sequence.token_level import token_level_kd_loss


@pytest.fixture
def case(sines) -> tuple[Tensor, Tensor, Tensor]:
    """Four sequences of six positions over seven words, of which 6, 4, 1 and 0 count."""
    mask = torch.arange(6) < torch.tensor([6, 4, 1, 0])[:, None]
    return sines(4, 6, 7, speed=0.7).requires_grad_(), sines(4, 6, 7, speed=1.3), mask


def softmax(row: list[float], temperature: float) -> list[float]:
    parts = [math.exp(value / temperature) for value in row]
    return [part / sum(parts) for part in parts]


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q))


def naive(student: Tensor, teacher: Tensor, mask: Tensor, beta: float, temperature: float) -> list[float]:
    """The paper's equation, position by position."""
    each = []
    for rows in zip(student.tolist(), teacher.tolist(), mask.tolist()):
        values = []
        for z, u, counts in zip(*rows):
            q, p = softmax(z, temperature), softmax(u, temperature)
            m = [beta * a + (1 - beta) * b for a, b in zip(p, q)]
            values += [beta * kl(p, m) + (1 - beta) * kl(q, m)] if counts else []
        each.append(sum(values) / len(values) if values else 0.0)
    return each


class TestGeneralisedJSDLoss:
    def test_value_worked_by_hand(self):
        teacher, student = (torch.tensor([[row]]).log() for row in ((0.8, 0.2), (0.2, 0.8)))
        to_the_middle = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)  # the mixture is (0.5, 0.5)
        assert generalised_jsd_loss(student, teacher).item() == pytest.approx(to_the_middle, rel=1e-6)
        far = 0.8 * math.log(4) + 0.2 * math.log(1 / 4)
        assert generalised_jsd_loss(student, teacher, beta=1.0).item() == pytest.approx(far, rel=1e-6)

    @pytest.mark.parametrize("temperature", [1.0, 3.0])
    @pytest.mark.parametrize("beta", [0.1, 0.5, 0.9])
    def test_is_the_equation_of_the_paper(self, case, beta, temperature):
        each = generalised_jsd_loss(*case, beta=beta, temperature=temperature, reduction="none")
        assert each.tolist() == pytest.approx(naive(*case, beta, temperature), rel=1e-10)

    def test_agrees_with_the_code_of_trl(self, case, reference, found, theirs):
        counts = case[2].sum(1)
        for numbers in reference("gkd"):
            each = generalised_jsd_loss(*case, **numbers["settings"], reduction="none")
            ours = found((each * counts).sum() / counts.sum(), case[0], numbers["gradient_at"])
            assert ours == pytest.approx(theirs(numbers), rel=1e-10)

    @pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
    def test_gradients_are_right(self, case, beta):
        student, teacher, mask = case
        loss = lambda s: generalised_jsd_loss(s, teacher, mask, beta=beta, temperature=2.0, reduction="none")
        assert torch.autograd.gradcheck(loss, student)

    def test_its_ends_are_the_two_divergences(self, case):
        student, teacher, mask = case
        forward = token_level_kd_loss(student, teacher, mask)
        torch.testing.assert_close(generalised_jsd_loss(student, teacher, mask, beta=0.0), forward)
        swapped = token_level_kd_loss(teacher, student.detach(), mask)
        torch.testing.assert_close(generalised_jsd_loss(student, teacher, mask, beta=1.0), swapped)

    @pytest.mark.parametrize(("end", "near"), [(0.0, 1e-6), (1.0, 1 - 1e-6)])
    def test_scaled_the_ends_are_limits_of_value_and_gradient(self, case, end, near):
        student, teacher, mask = case
        student = (student / 4).detach().requires_grad_()
        mild = student, teacher / 4  # where probabilities differ wildly a share must be smaller still
        pairs = [generalised_jsd_loss(*mild, mask, beta=beta, form="scaled") for beta in (end, near)]
        slopes = [torch.autograd.grad(value, student)[0] for value in pairs]
        torch.testing.assert_close(pairs[1], pairs[0], rtol=1e-3, atol=0)
        torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-2, atol=1e-5)

    def test_as_published_it_fades_towards_an_end_and_jumps_there(self, case):
        values = [generalised_jsd_loss(*case, beta=beta).item() for beta in (0.1, 0.01, 0.001, 0.0)]
        assert values[0] > values[1] > values[2] and values[3] > 100 * values[2]

    def test_even_it_is_symmetric_and_elsewhere_it_is_not(self, case):
        student, teacher, mask = (value.detach() for value in case)
        there, back = generalised_jsd_loss(student, teacher, mask), generalised_jsd_loss(teacher, student, mask)
        torch.testing.assert_close(there, back)
        lopsided = [generalised_jsd_loss(*pair, mask, beta=0.2) for pair in ((student, teacher), (teacher, student))]
        assert abs(lopsided[0] - lopsided[1]) > 1e-3

    def test_swapping_the_networks_is_swapping_the_shares(self, case):
        student, teacher, mask = (value.detach() for value in case)
        torch.testing.assert_close(
            generalised_jsd_loss(student, teacher, mask, beta=0.2),
            generalised_jsd_loss(teacher, student, mask, beta=0.8),
        )

    def test_is_bounded_inside_and_unbounded_at_the_ends(self, sines):
        student, teacher = 500 * sines(4, 6, 7, speed=0.7), 500 * sines(4, 6, 7, speed=1.3)
        assert generalised_jsd_loss(student, teacher) <= math.log(2) + 1e-12
        assert generalised_jsd_loss(student, teacher, beta=0.0) > 100

    def test_only_the_reverse_end_lets_a_student_forget_a_mode(self):
        """Half of the teacher's two equal modes costs the forward divergence much and the reverse one log 2."""
        teacher, student = torch.tensor([[[0.0, 0.0, -20.0]]]), torch.tensor([[[0.0, -20.0, -20.0]]])
        forward, reverse = (generalised_jsd_loss(student, teacher, beta=beta).item() for beta in (0.0, 1.0))
        assert reverse == pytest.approx(math.log(2), abs=1e-4) and forward > 9

    def test_zero_when_equal_up_to_a_shift_and_only_then(self, case):
        _, teacher, mask = case
        shifted = teacher + torch.arange(6.0, dtype=torch.float64)[:, None]
        for beta in (0.0, 0.5, 1.0):
            assert generalised_jsd_loss(shifted, teacher, mask, beta=beta).item() == pytest.approx(0, abs=1e-12)
            assert generalised_jsd_loss(1.1 * teacher, teacher, mask, beta=beta) > 1e-4

    def test_padding_takes_no_part_whatever_it_holds(self, case):
        student, teacher, mask = case
        expected = generalised_jsd_loss(*case)
        wild = student.detach().masked_fill(~mask[:, :, None], float("inf")).requires_grad_()
        loss = generalised_jsd_loss(wild, teacher.masked_fill(~mask[:, :, None], float("nan")), mask)
        loss.backward()
        torch.testing.assert_close(loss, expected)
        assert wild.grad[~mask].eq(0).all() and wild.grad.isfinite().all()

    @pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_finite_on_hostile_logits(self, sines, dtype, beta):
        student = sines(4, 6, 7, speed=0.7, dtype=dtype).mul(500).requires_grad_()
        loss = generalised_jsd_loss(student, sines(4, 6, 7, speed=1.3, dtype=dtype).mul(500), beta=beta)
        loss.backward()
        assert loss.dtype == torch.float32 and loss.isfinite() and student.grad.isfinite().all()

    def test_a_sequence_alone_is_a_mean_over_its_tokens(self, case):
        student, teacher, _ = case
        each = generalised_jsd_loss(*case, reduction="none")
        torch.testing.assert_close(each[1], generalised_jsd_loss(student[1:2, :4], teacher[1:2, :4]))
        assert each[3] == 0

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"beta": 1.5}, ValueError, "1 - beta must be at least 0, got -0.5"),
            ({"beta": float("nan")}, ValueError, "beta must be at least 0, got nan"),
            ({"temperature": 0.0}, ValueError, "temperature must be above 0, got 0"),
            ({"form": "plain"}, ValueError, "form must be 'published' or 'scaled', got 'plain'"),
            ({"teacher_logits": torch.zeros(4, 1, 7)}, ValueError, r"same shape, got \(4, 6, 7\) and \(4, 1, 7\)"),
            ({"mask": torch.ones(4, 6)}, TypeError, "mask must hold booleans, one a position, got torch.float32"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, case, change, error, says):
        with pytest.raises(error, match=says):
            generalised_jsd_loss(**dict(zip(("student_logits", "teacher_logits", "mask"), case)) | change)


def test_the_examples_are_true():
    assert doctest.testmod(divergences).failed == 0
