"""What a reader may rely on in adversarial compression, one claim a test."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kdcore.losses import gan_kd_critic_loss, gan_kd_loss, logit_mse_loss
from kdcore.losses.adversarial.compression import ANC
from kdcore.randomness import seeded
from kdcore.schemes.offline import Distillation
from kdcore.types import Batch, Clock, Data, Outputs, Refusal, Setting, Task


@pytest.fixture
def said(sines):
    """Both networks' answers and the batch; embeddings of six and nine numbers."""
    student, teacher = (
        Outputs(sines(4, 5, speed=speed).float(), embedding=sines(4, size, speed=speed).float())
        for speed, size in ((0.7, 6), (1.3, 9))
    )
    student.logits.requires_grad_()
    student.embedding.requires_grad_()
    data = Data(torch.zeros(4, 1), torch.arange(4), Task(), {"weak": lambda x, random: x})
    return student, teacher, Batch(data, torch.arange(4), 0, Clock(3, 100, 10))


def made(**settings) -> ANC:
    return seeded(lambda: ANC(6, 9, **settings), 0)


class TestANC:
    def test_student_is_judged_by_a_dropped_embedding_and_regresses_its_logits(self, said):
        method = made(logit_weight=0.3, weight=0.7)
        terms = method.losses(*said)
        kept = torch.rand(4, 6, generator=said[2].generator("anc")) >= 0.5
        assert 0 < kept.sum() < 24
        scores = method.critic(method.adapter(said[0].embedding * kept * 2))
        torch.testing.assert_close(terms["anc"].value, gan_kd_loss(scores))
        torch.testing.assert_close(terms["anc_logits"].value, logit_mse_loss(said[0].logits, said[1].logits))
        assert (terms["anc"].weight, terms["anc_logits"].weight) == (0.7, 0.3)

    def test_critic_is_shown_the_whole_embedding_as_false_and_the_dropped_one_as_true(self, said):
        method = made(regularizer_weight=0.2)
        terms = method.critic_losses(*said)
        scores = method.critic(method.adapter(said[0].embedding)), method.critic(said[1].embedding)
        torch.testing.assert_close(terms["critic"].value, gan_kd_critic_loss(*scores))
        dropped = method.losses(*said)["anc"]  # the same mask within a step, so the same value
        torch.testing.assert_close(terms["regularizer"].value, dropped.value)
        assert terms["regularizer"].weight == 0.2

    @pytest.mark.parametrize(("regularizer", "power"), [("l1", 1), ("l2", 2)])
    def test_norms_of_the_critics_weights_restrain_it(self, said, regularizer, power):
        method = made(regularizer=regularizer)
        value = method.critic_losses(*said)["regularizer"].value
        weights = [abs(w) ** power for p in method.critic.parameters() for w in p.flatten().tolist()]
        assert value.item() == pytest.approx(sum(weights) / len(weights), rel=1e-5)
        slopes = torch.autograd.grad(value, list(method.critic.parameters()))
        assert all(((p * s) >= 0).all() for p, s in zip(method.critic.parameters(), slopes))  # lowered by shrinking

    def test_without_one_the_critic_plays_alone(self, said):
        assert list(made(regularizer="none").critic_losses(*said)) == ["critic"]

    def test_each_gradient_goes_to_its_own_side(self, said):
        method = made()
        sum(term.value for term in method.critic_losses(*said).values()).backward()
        assert said[0].embedding.grad is None and method.adapter.weight.grad is None
        assert all(weight.grad is not None for weight in method.critic.parameters())
        sum(term.value for term in method.losses(*said).values()).backward()
        assert said[0].embedding.grad.norm() > 0 and said[0].logits.grad.norm() > 0
        assert method.adapter.weight.grad.norm() > 0 and method.adapters() == [method.adapter]

    def test_drops_others_at_every_step_and_nothing_in_eval_mode(self, said):
        student, teacher, batch = said
        other = Batch(batch.data, batch.index, 0, Clock(4, 100, 10))
        method = made()
        assert method.losses(*said)["anc"].value != method.losses(student, teacher, other)["anc"].value
        plain = gan_kd_loss(method.critic(method.adapter(student.embedding)))
        torch.testing.assert_close(method.eval().losses(*said)["anc"].value, plain)

    def test_equal_sizes_need_no_adapter(self):
        method = ANC(6, 6)
        assert isinstance(method.adapter, nn.Identity) and not list(method.adapter.parameters())

    def test_reads_no_label(self, said):
        student, teacher, batch = said
        blind = Batch(Data(batch.data.inputs, None, Task(), batch.data.views), batch.index, 0, batch.clock)
        assert all(term.value.isfinite() for term in made().losses(student, teacher, blind).values())
        assert Distillation(nn.Identity(), nn.Identity(), made()).task_weight == 0

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1"),
            ({"regularizer": "l3"}, "regularizer must be one of adversarial, l1, l2, none, got 'l3'"),
            ({"logit_weight": -1.0}, "logit_weight must be at least 0, got -1"),
        ],
    )
    def test_bad_settings_are_refused(self, settings, says):
        with pytest.raises(Refusal, match=says):
            made(**settings)

    @pytest.mark.parametrize("says", ["one vector an example, and the student names none"])
    def test_a_network_without_an_embedding_is_refused(self, says):
        outputs = Outputs(torch.empty(2, 7, device="meta"))
        with pytest.raises(Refusal, match=says):
            ANC.build(Setting(outputs, outputs, 7, 100, nn.Identity()))

    def test_a_critic_learns_to_tell_them_apart_less_well_when_it_is_misled(self, said):
        """After the same training the misled critic is less sure of what it sees undropped."""
        values = {}
        for regularizer in ("none", "adversarial"):
            method = made(regularizer=regularizer)
            optimiser = torch.optim.Adam(method.critic.parameters(), 1e-2)
            for _ in range(60):
                optimiser.zero_grad()
                sum(term.value for term in method.critic_losses(*said).values()).backward()
                optimiser.step()
            values[regularizer] = method.critic_losses(*said)["critic"].value.item()
        assert values["none"] < values["adversarial"] and values["none"] < 0.5 * 2 * F.softplus(torch.zeros(())).item()
