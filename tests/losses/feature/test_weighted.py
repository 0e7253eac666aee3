"""What a reader may rely on in the generic combination of channels, one claim a test."""

import pytest
import torch
import torch.nn.functional as F

from kdcore.losses import (
    afds_loss,
    delta_loss,
    fitnet_loss,
    mgd_matching_loss,
    weighted_channel_matching_loss,
)
from kdcore.losses._common import unit
from kdcore.losses.feature.weighted import (
    LearnedShares,
    WeightedChannelMatching,
    chosen,
    energy_shares,
    same_for_all,
)
from kdcore.types import Outputs, Refusal


def on_both_sides(weights: torch.Tensor) -> torch.Tensor:
    """A row for each channel, which it alone has a part in: the root of its weight."""
    return torch.diag_embed(weights.sqrt())


@pytest.fixture
def weights(sines) -> tuple[torch.Tensor, torch.Tensor]:
    """Two combinations of six channels, for each of four examples."""
    return sines(4, 2, 6, speed=1.9).requires_grad_(), sines(4, 2, 6, speed=2.3).requires_grad_()


class TestWeightedChannelMatching:
    def test_value_worked_by_hand(self):
        student, teacher = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]]), torch.tensor([[[[5.0, 5.0]]]])
        alpha, beta = torch.tensor([[[1.0, 1.0]]]), torch.tensor([[[2.0]]])
        found = weighted_channel_matching_loss(student, teacher, alpha, beta)  # (4, 2) and (10, 10)
        assert found.item() == (36 + 64) / 2
        assert weighted_channel_matching_loss(student, teacher, alpha, beta, distance="square").item() == 100

    def test_is_the_equation_of_the_survey(self, maps, weights):
        each = []
        for s, t, alpha, beta in zip(*(m.flatten(2).tolist() for m in maps), *(w.tolist() for w in weights)):
            rows = [
                [sum(a * s[i][p] for i, a in enumerate(mine)) - sum(b * t[j][p] for j, b in enumerate(theirs))]
                for mine, theirs in zip(alpha, beta)
                for p in range(16)
            ]
            each.append(sum(value**2 for (value,) in rows) / 32)
        found = weighted_channel_matching_loss(*maps, *weights, reduction="none")
        assert found.tolist() == pytest.approx(each, rel=1e-10)

    def test_gradients_reach_maps_and_weights_of_both_sides(self, maps, weights):
        inputs = (maps[0].detach()[:2, :, :2, :2].requires_grad_(), *(w.detach()[:2].requires_grad_() for w in weights))
        teacher = maps[1][:2, :, :2, :2]
        loss = lambda student, alpha, beta: weighted_channel_matching_loss(student, teacher, alpha, beta)
        assert torch.autograd.gradcheck(loss, inputs)

    def test_gives_delta_its_value(self, maps, sines):
        increases = sines(6, speed=1.9)
        importance = on_both_sides(same_for_all(increases.softmax(0)[None], maps[0])[:, 0])
        found = weighted_channel_matching_loss(*maps, importance, importance, distance="square")
        torch.testing.assert_close(found, delta_loss(*maps, increases))

    def test_gives_afds_its_value(self, maps, sines):
        scores = sines(4, 6, speed=1.9)
        importance = on_both_sides(scores.softmax(1))
        lengths = [unit(m.detach().flatten(2)).view_as(m) for m in maps]
        found = weighted_channel_matching_loss(*lengths, importance, importance, distance="square")
        torch.testing.assert_close(found, afds_loss(*maps, scores))

    def test_gives_matching_guided_distillation_its_value(self, maps, sines):
        student, teacher = maps[0], 5 + sines(4, 12, 4, 4, speed=1.3)  # above zero the partial distance is a whole one
        matching = torch.tensor([[7, 2, 9, 0, 11, 4]])
        picks = same_for_all(chosen(matching[0], 12), student).double()
        whole = same_for_all(torch.eye(6, dtype=torch.float64), student)
        found = weighted_channel_matching_loss(student, teacher, whole, picks, distance="square")
        torch.testing.assert_close(found, mgd_matching_loss(student, teacher, matching, torch.zeros(12)))

    def test_gives_a_hint_with_a_regressor_of_one_position_its_value(self, maps, sines):
        regressor, teacher = sines(9, 6, speed=0.4), sines(4, 9, 4, 4, speed=1.3)
        predicted = torch.einsum("tc,bchw->bthw", regressor, maps[0])
        rows = [same_for_all(w, teacher) for w in (regressor, torch.eye(9, dtype=torch.float64))]
        found = weighted_channel_matching_loss(maps[0], teacher, *rows)
        torch.testing.assert_close(found, fitnet_loss(predicted, teacher, form="mean"))

    def test_all_weights_zero_is_the_shortest_way_to_nothing(self, maps, weights):
        nothing = torch.zeros_like(weights[0])
        assert weighted_channel_matching_loss(*maps, nothing, nothing) == 0

    def test_larger_maps_are_averaged_down_to_the_smaller(self, maps, weights, sines):
        large = sines(4, 6, 8, 8, speed=1.3)
        small = weighted_channel_matching_loss(maps[0], F.avg_pool2d(large, 2), *weights)
        torch.testing.assert_close(weighted_channel_matching_loss(maps[0], large, *weights), small)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"student_weights": torch.zeros(4, 2, 5)}, r"student_weights must have shape \(4, combinations, 6\), got"),
            ({"target_weights": torch.zeros(4, 3, 6)}, "the same number of combinations, got 2 and 3"),
            ({"target_weights": torch.zeros(2, 6)}, r"target_weights must have shape .* got \(2, 6\)"),
            ({"distance": "cosine"}, "distance must be 'mean-square' or 'square', got 'cosine'"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, maps, weights, change, says):
        names = ("student_features", "teacher_features", "student_weights", "target_weights")
        with pytest.raises(ValueError, match=says):
            weighted_channel_matching_loss(**dict(zip(names, (*maps, *weights))) | change)

    def test_energy_is_shared_out_whole_and_a_dead_map_has_none(self, maps):
        shares = energy_shares(maps[0])
        torch.testing.assert_close(shares.sum(2), torch.ones(4, 1, dtype=torch.float64))
        assert shares.argmax(2)[:, 0].equal(maps[0].square().sum((2, 3)).argmax(1))
        assert energy_shares(torch.zeros(2, 3, 4, 4)).abs().max() == 0

    def test_method_matches_one_map_for_each_network(self, maps, sized, batch):
        student, teacher = (Outputs(m[:, :, 0, 0], (m, 2 * m)) for m in maps)
        method = WeightedChannelMatching.build(sized([(6, 4, 4)] * 2, [(6, 4, 4)] * 2))
        (term,) = method.losses(student, teacher, batch).values()
        mine, theirs = ((energy_shares(m) @ m.flatten(2))[:, 0] for m in maps)
        by_stage = (mine - theirs).square().mean(1).mean() * (1 + 4)  # the second stage is twice the first
        torch.testing.assert_close(term.value, by_stage)
        assert term.weight == 1 and method.zero_at_agreement and list(method.parameters()) == []

    def test_learned_shares_begin_equal_and_move(self, maps, batch):
        method = WeightedChannelMatching((6,), ((0, 0),), provider="learned").double()
        student, teacher = (Outputs(m[:, :, 0, 0], (m,)) for m in maps)
        (term,) = method.losses(student, teacher, batch).values()
        term.value.backward()
        (shares,) = method.shares
        assert isinstance(shares, LearnedShares) and shares(maps[0]).unique().tolist() == pytest.approx([1 / 6])
        assert shares.scores.grad.abs().min() > 0 and not method.zero_at_agreement

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"provider": "attention"}, "provider must be 'energy' or 'learned', got 'attention'"),
            ({"weight": -1.0}, "weight must be at least 0, got -1"),
        ],
    )
    def test_method_refuses_settings_out_of_range(self, settings, says):
        with pytest.raises(Refusal, match=says):
            WeightedChannelMatching((6,), ((0, 0),), **settings)
