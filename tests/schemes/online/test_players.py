"""What a reader may rely on in a game of three, one claim a test."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from kdcore.engine import Run, fit
from kdcore.randomness import generator
from kdcore.schemes.online.players import KDGAN, concrete, drawn
from kdcore.types import Clock, Data, Refusal


@pytest.fixture
def make(toy):
    def build(**settings):
        roles = {"student": 6, "teacher": 9, "discriminator": 7}
        return KDGAN(*(toy.network(role, width, dropout=0.0) for role, width in roles.items()), **settings)

    return build


@pytest.fixture
def batch(toy):
    return toy.patterns().batch(toy.seed, Clock(3, 12, 6), 16)


def log_one_minus(score: torch.Tensor) -> torch.Tensor:
    return torch.log(1 - torch.sigmoid(score))


class TestKDGAN:
    def test_discriminator_raises_the_value_of_the_game(self, make, batch):
        """Minus E ln d(x, y) + alpha E ln(1 - d) + (1 - alpha) E ln(1 - d), with the labels that both invent."""
        scheme = make(teacher_share=0.7).requires_grad_(False).eval()
        terms = scheme._judged(batch)
        s = scheme.discriminator(batch.inputs).logits.double()
        temperature = KDGAN.temperature_at(batch.clock.progress)
        true = torch.log(torch.sigmoid(s[torch.arange(16), batch.targets])).mean()
        value = true
        for name, share in (("student", 0.3), ("teacher", 0.7)):
            logits = getattr(scheme, name)(batch.inputs).logits
            invented = concrete(logits, batch.generator(f"kdgan judged {name}"), temperature=temperature)
            value = value + share * log_one_minus((s * invented).sum(1)).mean()
        total = sum(term.value * term.weight for term in terms.values())
        torch.testing.assert_close(total.double(), -value, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize(("name", "other", "share"), [("student", "teacher", 0.3), ("teacher", "student", 0.7)])
    def test_each_player_fools_and_distils(self, make, batch, name, other, share):
        scheme = make(teacher_share=0.7, student_weight=2.0, teacher_weight=0.5, weight=3.0)
        scheme.requires_grad_(False).eval()
        terms = scheme._classified(batch) if name == "student" else scheme._taught(batch)
        mine, theirs, s = (getattr(scheme, who)(batch.inputs).logits for who in (name, other, "discriminator"))
        temperature = KDGAN.temperature_at(batch.clock.progress)
        invented = concrete(mine, batch.generator(f"kdgan {name}"), temperature=temperature)
        torch.testing.assert_close(terms["fool"].value, F.softplus(-(s * invented).sum(1)).mean())
        torch.testing.assert_close(terms["distil"].value, (mine - theirs).square().sum(1).mean() / 2)
        assert terms["fool"].weight == pytest.approx(3 * share)
        assert terms["distil"].weight == {"student": 2.0, "teacher": 0.5}[name]

    def test_the_discriminators_gradient_reaches_a_player_through_its_soft_label(self, make, batch):
        scheme = make()
        fooled = scheme._classified(batch)["fool"].value
        slopes = torch.autograd.grad(fooled, list(scheme.student.parameters()), allow_unused=True)
        assert sum(slope.norm() for slope in slopes) > 0

    def test_the_released_form_pushes_drawn_logits_to_the_discriminators_opinion(self, make, batch):
        scheme = make(form="sampled", draws=7).requires_grad_(False).eval()
        terms = scheme._classified(batch)
        logits, s = scheme.student(batch.inputs).logits, scheme.discriminator(batch.inputs).logits
        shares = drawn(logits, batch.generator("kdgan student"), draws=7)
        each = F.binary_cross_entropy_with_logits(logits, s.sigmoid(), reduction="none")
        torch.testing.assert_close(terms["fool"].value, (shares * each).sum(1).mean())

    def test_softened_distillation_has_the_labels(self, make, batch):
        scheme = make(distillation="softened").requires_grad_(False).eval()
        mine, theirs = scheme.student(batch.inputs).logits, scheme.teacher(batch.inputs).logits
        expected = 0.7 * F.cross_entropy(mine, batch.targets) + 0.3 * F.mse_loss(mine, theirs)
        torch.testing.assert_close(scheme._classified(batch)["distil"].value, expected)

    def test_teacher_and_discriminator_may_see_more(self, make, toy):
        data = toy.patterns()
        batch = Data(data.inputs, data.targets, data.task, {**data.views, "weak": lambda x, random: 0 * x}, classes=4)
        batch = batch.batch(toy.seed, Clock(0, 12, 6), 16)
        scheme = make(privileged="plain").requires_grad_(False).eval()
        seen = scheme._said(scheme.student, batch).logits, scheme._said(scheme.teacher, batch).logits
        assert torch.equal(seen[0], seen[0][:1].expand_as(seen[0])) and not torch.equal(seen[1][0], seen[1][1])

    def test_the_game_runs_at_a_share_of_the_rate(self, make, toy):
        pretrain, main = make(recipe=toy.recipe, slower=0.2).stages()
        assert all(update.recipe is None for update in pretrain.updates)
        slower = replace(toy.recipe, learning_rate=0.2 * toy.recipe.learning_rate)
        assert {update.recipe for update in main.updates} == {slower}

    def test_no_update_moves_what_it_does_not_own(self, proof, make):
        players = {"student", "teacher", "discriminator"}
        moved = proof.moves(make)
        assert moved["pretrain"] == moved["main"] == {player: {player} for player in players}

    def test_gradients_are_routed_so_that_the_others_are_constants(self, proof, make):
        found = proof.reached(make)["main"]
        assert found["student/distil"] == found["student/fool"] == {"student"}
        assert found["teacher/fool"] == {"teacher"} and found["discriminator/students"] == {"discriminator"}

    @pytest.mark.parametrize("form", ["concrete", "sampled"])
    def test_resumes_exactly(self, short, make, form):
        short.resumes_exactly(lambda: make(form=form))

    def test_together_equals_alone(self, short, make):
        short.together_is_alone(make, lambda: make(form="sampled"))

    def test_every_parameter_is_reached_as_declared(self, proof, make):
        assert proof.untouched(make) == make().untouched() == set()

    def test_training_teaches_student_and_teacher(self, make, toy):
        run = Run("kdgan", make(), toy.patterns(), replace(toy.recipe, steps=80, clip=1.0), toy.seed)
        fit([run])
        assert run.failed is None
        scores = run.result()
        assert scores["student"]["accuracy"] > 0.6 and scores["teacher"]["accuracy"] > 0.6

    def test_is_built_from_a_bench(self, bench, toy):
        scheme = KDGAN.build(bench, teacher_network="wide", teacher_share=0.5)
        assert sorted(bench.asked, key=str) == [("discriminator", None), ("student", None), ("teacher", "wide")]
        assert scheme.teacher_share == 0.5 and list(scheme.delivers()) == ["student", "teacher"]

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"teacher_share": 1.5}, r"teacher_share must lie in \[0, 1\], got 1.5"),
            ({"form": "soft"}, "form must be 'concrete' or 'sampled', got 'soft'"),
            ({"distillation": "kl"}, "distillation must be 'logits' or 'softened', got 'kl'"),
            ({"draws": 0}, "draws must be above 0, got 0"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, make, settings, says):
        with pytest.raises(Refusal, match=says):
            make(**settings)

    @pytest.mark.parametrize("says", ["the three players must be three networks"])
    def test_one_network_cannot_play_twice(self, toy, says):
        network = toy.network()
        with pytest.raises(Refusal, match=says):
            KDGAN(network, network, toy.network("discriminator"))

    @pytest.mark.parametrize("says", [r"one class an image, got targets of \(96, 3\)"])
    def test_a_task_without_classes_is_refused(self, bench, says):
        bench.data = replace(bench.data, targets=bench.data.targets[:, None].expand(-1, 3))
        with pytest.raises(Refusal, match=says):
            KDGAN.build(bench)


class TestInvention:
    def test_the_largest_noisy_score_is_a_draw_in_proportion(self):
        shares = drawn(torch.tensor([[0.6, 0.3, 0.1]]).log(), generator("draws"), draws=20000)
        assert shares[0].tolist() == pytest.approx([0.6, 0.3, 0.1], abs=0.015)

    def test_soft_labels_are_distributions_that_sharpen_with_the_cold(self):
        logits, sharpness = torch.arange(40.0).sin().view(8, 5), []
        for temperature in (10.0, 1.0, 0.1):
            labels = concrete(logits, generator("labels"), temperature=temperature)
            torch.testing.assert_close(labels.sum(1), torch.ones(8))
            sharpness.append(labels.amax(1).mean().item())
        assert sharpness == sorted(sharpness) and sharpness[0] < 0.35 and sharpness[2] > 0.9

    def test_the_temperature_falls_geometrically_as_in_the_authors_code(self):
        steps = [KDGAN.temperature_at(progress / 4) for progress in range(5)]
        assert steps[0] == 10 and steps[-1] == pytest.approx(0.1)
        assert all(b / a == pytest.approx(steps[1] / steps[0]) for a, b in pairwise(steps))

    def test_finite_on_hostile_scores(self):
        logits = torch.tensor([[5000.0, -5000.0, 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
        labels = concrete(logits, generator("hostile"), temperature=0.1)
        labels.sum().backward()
        assert labels.isfinite().all() and logits.grad.isfinite().all()
