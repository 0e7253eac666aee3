"""What a reader may rely on where the critic is asked for the class too, one claim a test."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kdcore.losses import cgan_kd_critic_loss, cgan_kd_loss, gan_kd_critic_loss, gan_kd_loss
from kdcore.losses.adversarial.conditional import CGANKD
from kdcore.randomness import seeded
from kdcore.types import Outputs, Refusal, Setting


@pytest.fixture
def judged(sines):
    """Scores and class scores of both sides for eight examples of ten classes."""
    scores = sines(8, speed=0.7).requires_grad_(), sines(8, speed=1.3)
    classes = sines(8, 10, speed=0.9).requires_grad_(), sines(8, 10, speed=1.7)
    return *scores, *classes, torch.arange(8) * 3 % 10


def log_share(scores: list, at: int) -> float:
    return scores[at] - math.log(sum(math.exp(score) for score in scores))


def log_sigmoid(score: float) -> float:
    return -math.log(1 + math.exp(-score))


class TestCGANKD:
    def test_value_worked_by_hand(self):
        score, classes = torch.tensor([-math.log(3.0)]), torch.tensor([[math.log(4.0), 0.0]])  # 1/4, and 4/5 and 1/5
        assert cgan_kd_loss(score, classes, torch.tensor([1])).item() == pytest.approx(math.log(4) + math.log(5))
        value = cgan_kd_critic_loss(score, -score, classes, classes, torch.tensor([0]))
        assert value.item() == pytest.approx(2 * math.log(4 / 3) + 2 * math.log(5 / 4), rel=1e-6)

    def test_are_the_equations(self, judged):
        mine, theirs, my_classes, their_classes, targets = (value.tolist() for value in judged)
        fool = [-log_sigmoid(s) - log_share(c, y) for s, c, y in zip(mine, my_classes, targets)]
        critic = [
            -log_sigmoid(t) - log_sigmoid(-s) - log_share(c, y) - log_share(d, y)
            for s, t, c, d, y in zip(mine, theirs, my_classes, their_classes, targets)
        ]
        found = cgan_kd_loss(judged[0], judged[2], judged[4], reduction="none")
        assert found.tolist() == pytest.approx(fool, rel=1e-9)
        assert cgan_kd_critic_loss(*judged, reduction="none").tolist() == pytest.approx(critic, rel=1e-9)

    def test_are_the_plain_game_and_two_cross_entropies(self, judged):
        mine, theirs, my_classes, their_classes, targets = judged
        category = F.cross_entropy(my_classes, targets)
        torch.testing.assert_close(cgan_kd_loss(mine, my_classes, targets), gan_kd_loss(mine) + category)
        both = category + F.cross_entropy(their_classes, targets)
        torch.testing.assert_close(cgan_kd_critic_loss(*judged), gan_kd_critic_loss(mine, theirs) + both)

    def test_a_student_of_the_wrong_class_pays_though_it_passes_for_the_teacher(self):
        sure, classes = torch.tensor([50.0]), torch.tensor([[9.0, 0.0]])
        right, wrong = (cgan_kd_loss(sure, classes, torch.tensor([y])) for y in (0, 1))
        assert right < 1e-3 < 8 < wrong

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({0: torch.zeros(3)}, ValueError, "must be of the same examples, got 3 and 8"),
            ({0: torch.zeros(8).long()}, TypeError, "student_scores must hold floating-point numbers"),
            ({2: torch.zeros(8)}, ValueError, r"student_class_scores must have shape \(batch, classes\)"),
            ({4: torch.full((8,), 10)}, ValueError, r"targets must lie in 0 .. 9, got 10 .. 10"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, judged, change, error, says):
        given = [change.get(place, value) for place, value in enumerate(judged)]
        with pytest.raises(error, match=says):
            cgan_kd_loss(given[0], given[2], given[4])
        with pytest.raises(error, match=says):
            cgan_kd_critic_loss(*given)

    @pytest.mark.parametrize("says", ["student_class_scores and teacher_class_scores must have the same shape"])
    def test_both_sides_must_name_the_same_classes(self, judged, says):
        mine, theirs, my_classes, their_classes, targets = judged
        with pytest.raises(ValueError, match=says):
            cgan_kd_critic_loss(mine, theirs, my_classes, their_classes[:, :9], targets)

    def test_method_adds_the_absolute_difference_of_every_logit(self, case, asked):
        method = CGANKD(10, instance_weight=0.5)
        term = method.losses(*asked(case[0].float(), case[1].float(), case[2]))["instance"]
        rows = zip(case[0].tolist(), case[1].tolist())
        each = [sum(abs(a - b) for a, b in zip(s, t)) for s, t in rows]
        assert term.value.item() == pytest.approx(sum(each) / 8, rel=1e-6) and term.weight == 0.5

    def test_method_sends_each_gradient_to_its_own_side(self, case, asked):
        student, teacher = case[0].detach().float().requires_grad_(), case[1].float().requires_grad_()
        method, answers = CGANKD(10), asked(student, teacher, case[2])
        terms = method.losses(*answers)
        assert list(terms) == ["adversarial", "category", "instance"]
        for term in terms.values():
            assert torch.autograd.grad(term.value, student, retain_graph=True)[0].norm() > 0
        (critic,) = method.critic_losses(*answers).values()
        critic.value.backward()
        assert student.grad is None and teacher.grad is None
        assert all(weight.grad is not None for weight in method.critic.parameters())

    def test_a_critic_learns_both_answers(self, case, asked):
        answers = asked(case[0].detach().float(), case[1].float(), case[2])
        method = seeded(lambda: CGANKD(10), 0)
        optimiser, values = torch.optim.Adam(method.critic.parameters(), 1e-2), []
        for _ in range(60):
            (critic,) = method.critic_losses(*answers).values()
            values.append(critic.value.item())
            optimiser.zero_grad()
            critic.value.backward()
            optimiser.step()
        assert values[-1] < 0.1 * values[0]

    @pytest.mark.parametrize("says", [r"needs logits of shape \(batch, classes\), got \(2, 4, 7\)"])
    def test_texts_are_refused(self, says):
        outputs = Outputs(torch.empty(2, 4, 7, device="meta"))
        with pytest.raises(Refusal, match=says):
            CGANKD.build(Setting(outputs, outputs, 7, 100, nn.Identity()))
