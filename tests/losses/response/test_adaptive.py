"""What a reader may rely on in prime-aware weighting, one claim a test."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kdcore.losses import logit_mse_loss, pad_loss
from kdcore.losses.response.adaptive import PAD
from kdcore.types import Outputs, Refusal, Setting


@pytest.fixture
def doubted(pair, sines):
    return (*pair, sines(8, 10, speed=2.1) / 4)


def setting(student: Outputs, teacher: Outputs) -> Setting:
    return Setting(student, teacher, classes=10, samples=80, teacher_network=nn.Identity())


class TestPAD:
    def test_value_worked_by_hand(self):
        student, teacher = torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 0.0]])
        log_variance = torch.tensor([[0.0, math.log(4.0)]])
        assert pad_loss(student, teacher, log_variance).item() == pytest.approx((1 + 0 + 4 / 4 + math.log(4)) / 2)

    def test_is_the_equation(self, doubted):
        each = [
            sum((a - b) ** 2 / (math.exp(v) + 1e-6) + v for a, b, v in zip(s, t, u)) / 10
            for s, t, u in zip(*(z.tolist() for z in doubted))
        ]
        assert pad_loss(*doubted, reduction="none").tolist() == pytest.approx(each, rel=1e-10)

    def test_agrees_with_other_peoples_code(self, doubted, reference, found, theirs):
        student, _, doubt = doubted
        doubt.requires_grad_()
        for known in reference("pad"):
            assert found(pad_loss(*doubted), student, known["gradient_at"]) == pytest.approx(theirs(known), rel=1e-10)
            (slope,) = torch.autograd.grad(pad_loss(*doubted), doubt)
            mine = slope.norm().item(), slope[tuple(known["gradient_at"])].item()
            assert mine == pytest.approx((known["variance_gradient_norm"], known["variance_gradient"]), rel=1e-10)

    def test_no_doubt_at_all_is_the_mean_squared_error(self, pair):
        constant = torch.zeros(8, 1, dtype=torch.float64)
        torch.testing.assert_close(pad_loss(*pair, constant), logit_mse_loss(*pair), rtol=1e-5, atol=0)

    def test_one_variance_for_all_parts_is_that_variance_for_each(self, doubted):
        student, teacher, doubt = doubted
        one = doubt[:, :1]
        torch.testing.assert_close(pad_loss(student, teacher, one), pad_loss(student, teacher, one.expand(8, 10)))

    def test_lowest_where_the_variance_is_the_squared_distance(self, pair):
        student, teacher = (z[1:] for z in pair)  # the first entries of both are one number
        exact = (student - teacher).detach().square().log().requires_grad_()
        (slope,) = torch.autograd.grad(pad_loss(student, teacher, exact), exact)
        assert slope.abs().max() < 1e-2
        lowest = pad_loss(student, teacher, exact)
        assert all(pad_loss(student, teacher, exact + more) > lowest for more in (0.5, -0.5))

    def test_the_more_doubt_the_less_the_student_is_moved(self, doubted):
        student, teacher, doubt = doubted
        pulls = [
            torch.autograd.grad(pad_loss(student, teacher, doubt + more), student)[0].norm() for more in (0.0, 2.0)
        ]
        assert pulls[1].item() == pytest.approx(pulls[0].item() / math.exp(2.0), rel=1e-4)

    def test_sees_a_shift_of_one_network_but_not_of_both(self, doubted):
        student, teacher, doubt = doubted
        value = pad_loss(*doubted)
        torch.testing.assert_close(pad_loss(student + 2, teacher + 2, doubt), value)
        assert abs(pad_loss(student + 2, teacher, doubt) - value) > 0.1

    def test_boundless_certainty_stays_finite(self, pair):
        value = pad_loss(*pair, torch.full((8, 1), -1e4, dtype=torch.float64))
        assert value.isfinite() and torch.autograd.grad(value, pair[0])[0].isfinite().all()

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"teacher_features": torch.zeros(8, 9)}, r"student_features and teacher_features must .* and \(8, 9\)"),
            ({"log_variance": torch.zeros(8, 9)}, r"log_variance must have shape \(8, 10\) or \(8, 1\), got \(8, 9\)"),
            ({"log_variance": torch.zeros(8)}, r"log_variance must have shape \(8, 10\) or \(8, 1\), got \(8,\)"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, doubted, change, says):
        with pytest.raises(ValueError, match=says):
            pad_loss(**dict(zip(("student_features", "teacher_features", "log_variance"), doubted)) | change)

    def test_method_reads_the_doubt_from_the_students_embedding(self, case, asked, sines):
        student, teacher, batch = asked(*(z.float() if z.is_floating_point() else z for z in case))
        student.embedding = sines(8, 6, speed=0.4, dtype=torch.float32)
        method = PAD.build(setting(student, teacher))
        (term,) = method.losses(student, teacher, batch).values()
        linear, norm = method.variance
        expected = F.batch_norm(linear(student.embedding), None, None, norm.weight, norm.bias, training=True)
        torch.testing.assert_close(term.value, pad_loss(student.logits, teacher.logits, expected))

    def test_method_brings_embeddings_of_two_sizes_together(self, case, asked, sines):
        student, teacher, batch = asked(*case)
        student.embedding = sines(8, 6, speed=0.4, dtype=torch.float32).requires_grad_()
        teacher.embedding = sines(8, 9, speed=0.5, dtype=torch.float32)
        method = PAD.build(setting(student, teacher), matched="embedding")
        (term,) = method.losses(student, teacher, batch).values()
        term.value.backward()
        assert all(weight.grad is not None for weight in method.parameters()) and student.embedding.grad.norm() > 0

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"matched": "features"}, "matched must be 'logits' or 'embedding', got 'features'"),
            ({}, "pad needs the student's embedding, and the teacher's where embeddings are matched"),
        ],
    )
    def test_method_refuses_what_it_cannot_serve(self, pair, settings, says):
        with pytest.raises(Refusal, match=says):
            PAD.build(setting(Outputs(pair[0]), Outputs(pair[1])), **settings)

    def test_method_refuses_answers_word_by_word(self):
        said = Outputs(torch.zeros(2, 7, 5), embedding=torch.zeros(2, 7, 4))
        with pytest.raises(Refusal, match="pad matches one vector an example, and these networks answer word by word"):
            PAD.build(setting(said, said))
