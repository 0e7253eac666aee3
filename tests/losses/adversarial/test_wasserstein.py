"""What a reader may rely on in the penalty on a critic's slope."""

import pytest
import torch

from kdcore.losses.adversarial.critics import Critic
from kdcore.losses.adversarial.wasserstein import gradient_penalty
from kdcore.randomness import generator, seeded


class TestGradientPenalty:
    def test_is_the_squared_distance_of_the_slopes_length_from_one(self, sines):
        false, true = sines(6, 7, speed=1.3), sines(6, 7, speed=0.7)
        share = torch.rand(6, 1, generator=generator("here"), dtype=torch.float64)
        direction = sines(7, speed=0.9) / 4
        value = gradient_penalty(lambda x: torch.tanh(x @ direction), false, true, generator("here"))
        each = []
        for t, f, u in zip(true, false, share):
            at = (t + u * (f - t)) @ direction
            each.append((((1 - torch.tanh(at) ** 2) * direction).norm().item() - 1) ** 2)
        assert value.item() == pytest.approx(sum(each) / 6, rel=1e-12)

    def test_agrees_with_other_peoples_code(self, sines, reference, monkeypatch):
        (known,) = [case for case in reference("apd") if case.get("penalty")]
        places = (torch.arange(6, dtype=torch.float64) / 6)[:, None]
        monkeypatch.setattr(torch, "rand", lambda *shape, **options: places)
        critic = lambda z: torch.tanh(z @ sines(7, speed=0.9) / 4)
        value = gradient_penalty(critic, sines(6, 7, speed=1.3), sines(6, 7, speed=0.7), generator("any"))
        assert value.item() == pytest.approx(known["value"], rel=1e-10)

    def test_gradient_reaches_the_critic_and_no_sample(self, sines):
        critic = seeded(lambda: Critic(7, 8, 8), 0).double()
        false, true = sines(6, 7, speed=1.3).requires_grad_(), sines(6, 7, speed=0.7).requires_grad_()
        gradient_penalty(critic, false, true, generator("any")).backward()
        assert false.grad is None and true.grad is None and critic.layers[0].weight.grad.norm() > 0

    def test_second_derivatives_are_right(self, sines):
        false, true, start = sines(3, 4, speed=1.3), sines(3, 4, speed=0.7), sines(4, speed=0.9).requires_grad_()
        value = lambda w: gradient_penalty(lambda x: torch.tanh(x @ w), false, true, generator("any"))
        assert torch.autograd.gradcheck(value, [start])

    def test_finite_for_a_critic_without_a_slope(self):
        flat = torch.zeros(4, requires_grad=True)
        value = gradient_penalty(lambda x: (x * flat).sum(1), torch.ones(3, 4), torch.zeros(3, 4), generator("any"))
        value.backward()
        assert value == 1 and flat.grad.isfinite().all()

    def test_works_where_no_gradient_is_asked_for(self):
        with torch.no_grad():
            value = gradient_penalty(lambda x: 2 * x.sum(1), torch.ones(3, 1), torch.zeros(3, 1), generator("any"))
        assert value == 1

    @pytest.mark.parametrize("says", [r"same shape, got \(3, 4\) and \(2, 4\)"])
    def test_bad_input_is_answered_in_a_sentence(self, says):
        with pytest.raises(ValueError, match=says):
            gradient_penalty(lambda x: x.sum(1), torch.ones(3, 4), torch.zeros(2, 4), generator("any"))
