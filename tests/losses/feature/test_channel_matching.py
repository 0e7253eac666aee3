"""What a reader may rely on in matching guided distillation, one claim a test."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from kdcore.losses import mgd_matching_loss, ofd_loss
from kdcore.losses.feature.channel_matching import (
    MGDMatching,
    channel_distances,
    matched_channels,
)
from kdcore.types import Outputs, Refusal


@pytest.fixture
def wide(sines) -> torch.Tensor:
    """A teacher's map with twice the student's channels."""
    return sines(4, 12, 4, 4, speed=1.3)


@pytest.fixture
def margins(sines) -> torch.Tensor:
    return sines(12, speed=1.9) / 4 - 1


MATCHING = torch.tensor([[0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9, 11]])


class TestMGDMatching:
    def test_value_worked_by_hand(self):
        student = torch.tensor([[[[1.0, 1.0]]]])
        teacher = torch.tensor([[[[2.0, 0.5]], [[-3.0, 0.1]], [[4.0, -0.2]]]])
        matching, margins = torch.tensor([[0], [1]]), torch.tensor([-1.0, -2.0, -9.0])
        value = mgd_matching_loss(student, teacher, matching, margins)  # -3, cut at the mean margin, and 0.5
        assert value.item() == pytest.approx((1 + 1.5) ** 2 + 0.5**2)

    def test_is_the_equation(self, maps, wide, margins):
        each = []
        for s, t in zip(maps[0].flatten(2).tolist(), wide.flatten(2).tolist()):
            total = 0.0
            for channel, group in enumerate(MATCHING.T.tolist()):
                margin = sum(margins[j].item() for j in group) / len(group)
                for place in range(16):
                    target = max(max((t[j][place] for j in group), key=abs), margin)
                    mine = s[channel][place]
                    total += 0.0 if mine <= target <= 0 else (mine - target) ** 2
            each.append(total)
        found = mgd_matching_loss(maps[0], wide, MATCHING, margins, reduction="none")
        assert found.tolist() == pytest.approx(each, rel=1e-10)

    def test_agrees_with_the_authors_code(self, maps, wide, margins, reference, found, theirs):
        cases = [known for known in reference("mgd-matching") if known.get("part") != "distances"]
        assert [len(known["matching"]) for known in cases] == [2, 1]
        for known in cases:
            value = mgd_matching_loss(maps[0], wide, torch.tensor(known["matching"]), margins)
            assert found(value, maps[0], known["gradient_at"]) == pytest.approx(theirs(known), rel=1e-10)

    def test_distances_of_channels_are_the_authors(self, maps, wide, reference):
        (known,) = [known for known in reference("mgd-matching") if known.get("part") == "distances"]
        distances = channel_distances(maps[0].detach(), wide)
        mine = distances.sum().item(), distances.norm().item(), distances[tuple(known["at"])].item()
        assert mine == pytest.approx((known["sum"], known["norm"], known["value"]), rel=1e-10)

    def test_one_channel_each_is_the_partial_distance_of_the_renamed_teacher(self, maps, wide, margins):
        names = torch.tensor([7, 2, 9, 0, 11, 4])
        value = mgd_matching_loss(maps[0], wide, names[None], margins)
        torch.testing.assert_close(value, ofd_loss(maps[0], wide[:, names], margins[names]))

    def test_channels_that_nobody_was_given_do_not_count(self, maps, wide, margins):
        louder = wide.clone()
        louder[:, 6:] *= 100
        few = torch.tensor([[0, 1, 2, 3, 4, 5]])
        assert mgd_matching_loss(maps[0], louder, few, margins) == mgd_matching_loss(maps[0], wide, few, margins)

    def test_a_group_has_no_order_and_the_draw_picks_from_it(self, maps, wide, margins):
        flipped = mgd_matching_loss(maps[0], wide, MATCHING.flip(0), margins)
        torch.testing.assert_close(flipped, mgd_matching_loss(maps[0], wide, MATCHING, margins))
        draw = lambda seed: torch.Generator().manual_seed(seed)
        one, two, again = (
            mgd_matching_loss(maps[0], wide, MATCHING, margins, reducer="random", generator=draw(seed))
            for seed in (0, 1, 0)
        )
        assert one == again != two
        twins = MATCHING[:1].repeat(2, 1)  # whatever is drawn is the same channel
        drawn = mgd_matching_loss(maps[0], wide, twins, margins, reducer="random")
        torch.testing.assert_close(drawn, mgd_matching_loss(maps[0], wide, MATCHING[:1], margins))

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"matching": torch.full((1, 6), 12)}, ValueError, "matching must lie in 0 .. 11, got 12"),
            (
                {"matching": torch.zeros(2, 5).long()},
                ValueError,
                r"matching must have shape \(parts, 6\), got \(2, 5\)",
            ),
            ({"matching": torch.zeros(1, 6)}, TypeError, "matching must hold whole numbers"),
            ({"margins": torch.zeros(6)}, ValueError, r"margins must have shape \(12,\), one a channel, got \(6,\)"),
            ({"reducer": "mean"}, ValueError, "reducer must be 'absolute-max' or 'random', got 'mean'"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, maps, wide, margins, change, error, says):
        names = ("student_features", "teacher_features", "matching", "margins")
        with pytest.raises(error, match=says):
            mgd_matching_loss(**dict(zip(names, (maps[0], wide, MATCHING, margins))) | change)

    def test_distances_compare_directions_example_by_example(self, maps, wide):
        student = maps[0].detach()
        pairs = [(s, t) for s in range(6) for t in range(12)]
        wanted = [
            (F.normalize(student[:, s].flatten(1)) - F.normalize(wide[:, t].flatten(1))).square().sum(1).mean()
            for s, t in pairs
        ]
        torch.testing.assert_close(channel_distances(student, wide).flatten(), torch.stack(wanted))

    def test_matching_finds_hidden_twins_and_gives_every_channel_as_many(self, maps):
        student = maps[0].detach()
        order = torch.tensor([3, 0, 5, 1, 2, 4])
        teacher = torch.cat([student[:, order], -student, 2 * student], 1)  # twins at `order` and at 12 .. 17
        matching = matched_channels(channel_distances(student, teacher[:, :12]))
        assert matching[0].equal(order.argsort()) and matching.shape == (2, 6)
        assert sorted(matching.flatten().tolist()) == list(range(12))
        uneven = matched_channels(channel_distances(student, teacher[:, :11]))
        assert uneven.shape == (1, 6) and len(set(uneven.flatten().tolist())) == 6

    def test_method_matches_before_the_first_step_and_after_every_second_epoch(self, trained, monkeypatch):
        calls, match = [], MGDMatching.match
        monkeypatch.setattr(
            MGDMatching, "match", lambda method, *given: (calls.append(method.clock_seen), match(method, *given))
        )
        losses = MGDMatching.losses

        def watched(method, student, teacher, batch):
            method.clock_seen = batch.clock.step
            return losses(method, student, teacher, batch)

        monkeypatch.setattr(MGDMatching, "losses", watched)
        trained(MGDMatching.build, steps=10)  # two steps an epoch
        assert calls == [0, 4, 8]

    def test_matching_leaves_the_student_in_training_and_its_statistics_alone(self, small, trained):
        student, teacher, data = small
        (method,) = trained(MGDMatching.build, steps=2, stop=0).scheme.methods
        before = {name: value.clone() for name, value in student.state_dict().items()}
        student.train()
        method.match(student, teacher, data)
        assert all(module.training for module in student.modules())
        assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
        in_turn = torch.arange(3)[None]
        assert method.matching0.shape == (1, 3) and method.matching1.shape == (1, 6)
        assert not torch.equal(method.matching0, in_turn) or not torch.equal(method.matching1, torch.arange(6)[None])

    def test_an_interruption_changes_nothing(self, trained):
        whole, part, rest = (trained(MGDMatching.build, steps=6, stop=stop) for stop in (None, 3, 0))
        rest.restore(part.state())
        while rest.active:
            rest.advance()
        ends = (run.scheme.state_dict() for run in (whole, rest))
        assert all(torch.equal(one, other) for one, other in zip(*(end.values() for end in ends)))

    def test_deeper_stages_count_twice_as_much_each(self, layers, batch):
        method = MGDMatching(((3, 6),) * 2, ((0, 0), (1, 1))).double()
        student, teacher = (
            Outputs(torch.zeros(8, 10), (), tuple(layers(8, shapes, speed)))
            for shapes, speed in (([(3, 4, 4)] * 2, 0.7), ([(6, 4, 4)] * 2, 1.3))
        )
        (term,) = method.losses(student, teacher, batch).values()
        pairs = zip(method.norms, student.preactivations, teacher.preactivations)
        in_turn = torch.arange(6).view(2, 3)
        one, two = (mgd_matching_loss(norm(s), t, in_turn, method.margins(0, t)) for norm, s, t in pairs)
        torch.testing.assert_close(term.value, one / 2 + two)
        assert term.weight == 1e-4

    @pytest.mark.parametrize(
        ("student", "teacher", "says"),
        [
            (
                [(4, 8, 8), (12, 4, 4)],
                [(4, 8, 8), (9, 4, 4)],
                "stage 1 of the student has 12, stage 1 of the teacher 9",
            ),
        ],
    )
    def test_method_refuses_a_student_with_more_channels(self, sized, student, teacher, says):
        setting = sized(student, teacher)
        answers = (replace(said, preactivations=said.features) for said in (setting.student, setting.teacher))
        with pytest.raises(Refusal, match=says):
            MGDMatching.build(replace(setting, **dict(zip(("student", "teacher"), answers))))

    @pytest.mark.parametrize(
        ("settings", "says"),
        [({"every": 0}, "every must be above 0, got 0"), ({"reducer": "mean"}, "reducer must be 'absolute-max' or")],
    )
    def test_method_refuses_settings_out_of_range(self, settings, says):
        with pytest.raises(Refusal, match=says):
            MGDMatching(((4, 8),), ((0, 0),), **settings)
