"""What a reader may rely on in the networks that judge."""

import pytest
import torch

from kdcore.losses.adversarial.critics import ClassCritic, Critic, MapCritic, judged_apart, perceptron
from kdcore.randomness import seeded


class TestCritics:
    def test_one_score_an_example(self):
        assert Critic(10, 8)(torch.zeros(3, 10)).shape == (3,)
        assert MapCritic(5, 8)(torch.zeros(3, 5, 6, 7)).shape == (3,)
        score, classes = ClassCritic(10, 4, 8)(torch.zeros(3, 10))
        assert score.shape == (3,) and classes.shape == (3, 4)

    @pytest.mark.parametrize("size", [(1, 1), (2, 2), (7, 5), (32, 32)])
    def test_maps_of_any_size_are_read(self, size):
        assert MapCritic(3, 4)(torch.ones(2, 3, *size)).isfinite().all()

    def test_depth_is_what_the_sizes_say(self):
        assert [layer.out_features for layer in perceptron(5, 8, 6, 1)[::2]] == [8, 6, 1]

    @pytest.mark.parametrize(("critic", "shape"), [(Critic(6, 8), (9, 6)), (MapCritic(6, 8), (9, 6, 4, 4))])
    def test_a_score_does_not_depend_on_its_company(self, critic, shape, sines):
        vectors = sines(*shape, speed=0.7, dtype=torch.float32)
        torch.testing.assert_close(critic(vectors)[:2], critic(vectors[:2]))

    def test_both_sides_are_judged_in_one_pass_without_a_gradient_to_them(self, sines):
        critic = seeded(lambda: Critic(6, 8), 0)
        mine, theirs = (sines(n, 6, speed=0.7, dtype=torch.float32).requires_grad_() for n in (3, 2))
        scores = judged_apart(critic, mine, theirs)
        torch.testing.assert_close(scores, (critic(mine), critic(theirs)))
        sum(score.sum() for score in scores).backward()
        assert mine.grad is None and theirs.grad is None and critic.layers[0].weight.grad is not None
