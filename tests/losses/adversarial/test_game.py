"""What a reader may rely on in the game against a critic, one claim a test."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kdcore.losses import gan_kd_critic_loss, gan_kd_loss, gan_kd_survey_loss
from kdcore.losses.adversarial.conditional import CGANKD
from kdcore.losses.adversarial.game import GANKD
from kdcore.randomness import seeded
from kdcore.types import Outputs, Refusal, Setting


@pytest.fixture
def scores(sines):
    return sines(9, speed=0.7).requires_grad_(), sines(9, speed=1.3)


def probability(score: float) -> float:
    return 1 / (1 + math.exp(-score))


class TestGANKD:
    def test_values_worked_by_hand(self):
        student, teacher = torch.tensor([-math.log(3.0)]), torch.tensor([math.log(4.0)])  # D = 1/4 and 4/5
        assert gan_kd_loss(student).item() == pytest.approx(math.log(4))
        assert gan_kd_loss(student, form="minimax").item() == pytest.approx(math.log(3 / 4))
        assert gan_kd_critic_loss(student, teacher).item() == pytest.approx(math.log(5 / 4) + math.log(4 / 3), rel=1e-6)

    def test_are_the_equations(self, scores):
        student, teacher = (z.tolist() for z in scores)
        fool = [-math.log(probability(s)) for s in student]
        minimax = [math.log(1 - probability(s)) for s in student]
        critic = [-math.log(probability(t)) - math.log(1 - probability(s)) for s, t in zip(student, teacher)]
        assert gan_kd_loss(scores[0], reduction="none").tolist() == pytest.approx(fool, rel=1e-9)
        assert gan_kd_loss(scores[0], form="minimax", reduction="none").tolist() == pytest.approx(minimax, rel=1e-9)
        assert gan_kd_critic_loss(*scores, reduction="none").tolist() == pytest.approx(critic, rel=1e-9)

    def test_are_binary_cross_entropies_with_their_labels(self, scores):
        student, teacher = scores
        real, fake = torch.ones(9, dtype=torch.float64), torch.zeros(9, dtype=torch.float64)
        entropy = F.binary_cross_entropy_with_logits
        torch.testing.assert_close(gan_kd_loss(student), entropy(student, real))
        torch.testing.assert_close(gan_kd_loss(student, form="minimax"), -entropy(student, fake))
        torch.testing.assert_close(gan_kd_critic_loss(*scores), entropy(teacher, real) + entropy(student, fake))

    def test_least_squares_are_the_equations_of_online_adversarial_distillation(self, scores):
        student, teacher = (z.tolist() for z in scores)
        fool = [(1 - s) ** 2 for s in student]
        critic = [(1 - t) ** 2 + s**2 for s, t in zip(student, teacher)]
        found = gan_kd_loss(scores[0], form="least-squares", reduction="none")
        assert found.tolist() == pytest.approx(fool, rel=1e-12)
        found = gan_kd_critic_loss(*scores, form="least-squares", reduction="none")
        assert found.tolist() == pytest.approx(critic, rel=1e-12)

    def test_wasserstein_is_a_difference_of_means_and_does_not_care_for_a_constant(self, scores):
        student, teacher = scores
        value = gan_kd_critic_loss(student, teacher, form="wasserstein")
        assert value.item() == pytest.approx((student.mean() - teacher.mean()).item())
        torch.testing.assert_close(gan_kd_critic_loss(student + 7, teacher + 7, form="wasserstein"), value)
        assert gan_kd_loss(student, form="wasserstein").item() == pytest.approx(-student.mean().item())

    def test_every_game_is_at_rest_for_its_student_where_the_critic_is_indifferent_to_it(self):
        flat = torch.zeros(3, 4, requires_grad=True)
        for form in ("non-saturating", "minimax", "least-squares", "wasserstein"):
            score = (0 * flat).sum(1) + 0.7
            assert not torch.autograd.grad(gan_kd_loss(score, form=form), flat)[0].any()

    def test_both_forms_pull_the_same_way_and_the_default_pulls_harder_where_the_critic_is_sure(self):
        score = torch.tensor([-6.0], requires_grad=True)
        default, minimax = (
            torch.autograd.grad(gan_kd_loss(score, form=f), score)[0] for f in ("non-saturating", "minimax")
        )
        assert default < 0 and minimax < 0 and default / minimax > 100

    def test_a_critic_that_cannot_tell_pays_twice_the_logarithm_of_two(self):
        assert gan_kd_critic_loss(torch.zeros(3), torch.zeros(3)).item() == pytest.approx(2 * math.log(2))

    def test_critic_wants_teachers_high_and_students_low(self, scores):
        student, teacher = scores[0], scores[1].requires_grad_()
        down, up = torch.autograd.grad(gan_kd_critic_loss(student, teacher), (student, teacher))
        assert (down > 0).all() and (up < 0).all()

    @pytest.mark.parametrize("scale", [500.0, 5000.0])
    def test_stays_finite_however_sure_the_critic_is(self, scores, scale):
        student, teacher = (scale * z.detach().float() for z in scores)
        student.requires_grad_()
        value = gan_kd_loss(student) + gan_kd_loss(student, form="minimax") + gan_kd_critic_loss(student, teacher)
        value.backward()
        assert value.isfinite() and student.grad.isfinite().all()

    @pytest.mark.parametrize(
        ("loss", "arguments", "error", "says"),
        [
            (
                gan_kd_loss,
                [torch.zeros(3, 1)],
                ValueError,
                r"student_scores must have shape \(batch\), .* got \(3, 1\)",
            ),
            (gan_kd_loss, [torch.zeros(3).long()], TypeError, "student_scores must hold floating-point numbers"),
            (gan_kd_critic_loss, [torch.zeros(3), torch.zeros(2)], ValueError, r"same shape, got \(3,\) and \(2,\)"),
            (gan_kd_survey_loss, [torch.zeros(3), torch.zeros(2)], ValueError, "complement_scores and teacher_scores"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, loss, arguments, error, says):
        with pytest.raises(error, match=says):
            loss(*arguments)

    @pytest.mark.parametrize("says", ["form must be 'non-saturating', 'minimax'.* 'wasserstein', got 'hinge'"])
    def test_unknown_form_is_answered_in_a_sentence(self, says):
        with pytest.raises(ValueError, match=says):
            gan_kd_loss(torch.zeros(3), form="hinge")

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"form": "wasserstein"}, "form must be 'non-saturating', 'minimax' or 'least-squares', got 'wasserstein'"),
            ({"of": "features"}, "of must be 'probabilities' or 'logits', got 'features'"),
            ({"hidden": 0}, "hidden must be above 0, got 0"),
            ({"critic_rate": 0.0}, "critic_rate must be above 0, got 0"),
        ],
    )
    def test_method_refuses_what_it_cannot_play(self, settings, says):
        with pytest.raises(Refusal, match=says):
            GANKD(10, **settings)

    @pytest.mark.parametrize("of", ["probabilities", "logits"])
    def test_critic_plays_the_students_game(self, case, asked, of):
        method = GANKD(10, form="least-squares", of=of)
        (critic,) = method.critic_losses(*asked(case[0].detach().float(), case[1].float(), case[2])).values()
        read = (z.detach().float() if of == "logits" else z.detach().float().softmax(1) for z in case[:2])
        mine, theirs = (method.critic(answer) for answer in read)
        torch.testing.assert_close(critic.value, gan_kd_critic_loss(mine, theirs, form="least-squares"))

    def test_probabilities_are_read_without_the_constant_that_logits_hold(self, case, asked):
        student, teacher, targets = case[0].detach().float(), case[1].float(), case[2]
        for of, same in (("probabilities", True), ("logits", False)):
            method = seeded(lambda of=of: GANKD(10, of=of), 0)
            values = [
                next(iter(method.losses(*asked(student + shift, teacher, targets)).values())).value for shift in (0, 3)
            ]
            assert torch.isclose(*values, rtol=1e-4) == same

    def test_every_place_of_a_text_is_an_answer(self, asked):
        said = torch.arange(24.0).sin().view(2, 3, 4)
        method = GANKD(4)
        (text,) = method.losses(*asked(said, said, torch.zeros(2, dtype=torch.long))).values()
        (rows,) = method.losses(*asked(said.view(6, 4), said.view(6, 4), torch.zeros(6, dtype=torch.long))).values()
        torch.testing.assert_close(text.value, rows.value)

    def test_named_games_reproduce_their_adversarial_term_through_it(self, case, asked):
        """The generic row is the interface: the first term of conditional distillation is this loss on a score."""
        method, answers = CGANKD(10), asked(case[0].detach().float(), case[1].float(), case[2])
        score, _ = method.critic(answers[0].logits)
        torch.testing.assert_close(method.losses(*answers)["adversarial"].value, gan_kd_loss(score))

    def test_method_is_built_from_the_number_of_classes(self):
        outputs = Outputs(torch.empty(2, 7, device="meta"))
        method = GANKD.build(Setting(outputs, outputs, 7, 100, nn.Identity()), hidden=16)
        assert method.critics() == [method.critic] and method.adapters() == []
        assert method.critic(torch.zeros(3, 7)).shape == (3,)

    def test_method_sends_each_gradient_to_its_own_side(self, case, asked):
        student, teacher, targets = case[0].detach().float().requires_grad_(), case[1].float(), case[2]
        method, answers = GANKD(10), asked(student, teacher, targets)
        (fool,) = method.losses(*answers).values()
        assert torch.autograd.grad(fool.value, student)[0].norm() > 0 and fool.weight == 1
        (critic,) = method.critic_losses(*answers).values()
        critic.value.backward()
        assert student.grad is None and all(weight.grad is not None for weight in method.critic.parameters())

    def test_a_student_learns_to_pass_a_resting_critic_and_a_critic_to_tell_them_apart(self, case, asked):
        student, teacher = case[0].detach().float().requires_grad_(), case[1].float()
        method, values = seeded(lambda: GANKD(10, of="logits"), 0), []
        for _ in range(100):
            (fool,) = method.losses(*asked(student, teacher, case[2])).values()
            values.append(fool.value.item())
            student = (student - 3 * torch.autograd.grad(fool.value, student)[0]).detach().requires_grad_()
        assert values[-1] < values[0] - 0.01
        optimiser, values = torch.optim.Adam(method.critic.parameters(), 1e-2), []
        for _ in range(50):
            (critic,) = method.critic_losses(*asked(student, teacher, case[2])).values()
            values.append(critic.value.item())
            optimiser.zero_grad()
            critic.value.backward()
            optimiser.step()
        assert values[-1] < 0.3 * values[0]


class TestGANKDSurvey:
    def test_value_worked_by_hand(self):
        complement, teacher = torch.tensor([-math.log(3.0)]), torch.tensor([math.log(4.0)])  # D = 1/4 and 4/5
        value = gan_kd_survey_loss(complement, teacher)
        assert value.item() == pytest.approx(math.log(4 / 5) + math.log(1 / 4), rel=1e-6)

    def test_is_the_equation_as_printed(self, scores):
        each = [math.log(probability(t)) + math.log(probability(c)) for c, t in zip(*(z.tolist() for z in scores))]
        assert gan_kd_survey_loss(*scores, reduction="none").tolist() == pytest.approx(each, rel=1e-9)

    def test_complement_of_an_answer_is_no_distribution(self, case):
        complement = 1 - case[0].softmax(1)
        torch.testing.assert_close(complement.sum(1), torch.full((8,), 9.0, dtype=torch.float64))

    def test_raised_by_a_critic_that_calls_everything_real(self, scores):
        values = [gan_kd_survey_loss(*(z + more for z in scores)).item() for more in (0.0, 5.0, 50.0)]
        assert values == sorted(values) and values[-1] == pytest.approx(0, abs=1e-12)
        told_apart = [gan_kd_critic_loss(*(z + more for z in scores)).item() for more in (0.0, 50.0)]
        assert told_apart[1] > told_apart[0]  # the corrected critic pays for that

    def test_lowered_by_a_student_whose_complement_looks_false_whatever_the_teacher_says(self, scores):
        student, teacher = scores
        (slope,) = torch.autograd.grad(gan_kd_survey_loss(student, teacher), student)
        (other,) = torch.autograd.grad(gan_kd_survey_loss(student, -teacher), student)
        assert (slope > 0).all() and torch.equal(slope, other)
