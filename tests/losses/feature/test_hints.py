"""What a reader may rely on in hints, one claim a test."""

import pytest
import torch
from torch import nn

from kdcore.losses import ce_soft_loss, fitnet_loss
from kdcore.losses.feature.hints import ENTRIES, FitNet, Regressor
from kdcore.randomness import seeded
from kdcore.types import Batch, Clock, Data, Outputs, Refusal, Setting, Task


def setting(student: tuple, teacher: tuple) -> Setting:
    def outputs(features):
        return Outputs(torch.empty(2, 10, device="meta"), tuple(torch.empty(f, device="meta") for f in features))

    return Setting(outputs(student), outputs(teacher), classes=10, samples=100, teacher_network=nn.Identity())


class Toy(nn.Module):
    """A lower part, an upper part and a head, so that one sees where a gradient ends."""

    def __init__(self, width: int):
        super().__init__()
        self.lower, self.upper = nn.Conv2d(1, width, 3, padding=1), nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.head = nn.Linear(width, 10)

    def forward(self, images):
        low = self.lower(images).relu()
        high = self.upper(low).relu()
        return Outputs(self.head(high.mean((2, 3))), (low, high))


@pytest.fixture
def networks() -> tuple[Toy, Toy, FitNet]:
    """A student, a resting teacher, and the method between their first stages."""
    student, teacher = (seeded(lambda width=width: Toy(width), width) for width in (4, 6))
    method = seeded(lambda: FitNet((4, 8, 8), (6, 8, 8), (0, 0)), 0)
    return student, teacher.requires_grad_(False), method


@pytest.fixture
def batch(sines) -> Batch:
    view = {"weak": lambda x, random: x}
    data = Data(sines(6, 1, 8, 8, speed=0.3, dtype=torch.float32), torch.arange(6), Task(), view, classes=10)
    return Batch(data, torch.arange(6), 0, Clock(0, 100, 10))


class TestFitNet:
    def test_value_worked_by_hand(self):
        student = torch.tensor([[[[1.0, 2.0]], [[0.0, 0.0]]], [[[0.0, 0.0]], [[3.0, 0.0]]]])
        teacher = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]], [[[0.0, 0.0]], [[0.0, 0.0]]]])  # squares 5 and 9
        assert fitnet_loss(student, teacher).item() == pytest.approx((5 / 2 + 9 / 2) / 2)
        assert fitnet_loss(student, teacher, form="mean").item() == pytest.approx((5 / 4 + 9 / 4) / 2)

    @pytest.mark.parametrize(("form", "factor"), [("half-sum", 1 / 2), ("mean", 1 / (4 * 4 * 6))])
    def test_is_the_equation_of_the_surveys(self, maps, form, factor):
        flat = [m.flatten(1).tolist() for m in maps]
        each = [factor * sum((a - b) ** 2 for a, b in zip(s, t)) for s, t in zip(*flat)]
        assert fitnet_loss(*maps, form=form, reduction="none").tolist() == pytest.approx(each, rel=1e-10)

    def test_agrees_with_other_peoples_code(self, maps, reference, found, theirs):
        for known in reference("fitnet"):
            mine = found(fitnet_loss(*maps, **known["settings"]), maps[0], known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_zero_only_when_equal_and_sees_channels_and_scale(self, maps):
        student, teacher = maps
        assert fitnet_loss(teacher, teacher) == 0
        assert fitnet_loss(teacher[:, [1, 0, 2, 3, 4, 5]], teacher) > 1 and fitnet_loss(2 * teacher, teacher) > 1
        torch.testing.assert_close(fitnet_loss(student + 3, teacher + 3), fitnet_loss(student, teacher))

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (
                {"teacher_features": torch.zeros(4, 6, 2, 2)},
                r"must have the same shape, got \(4, 6, 4, 4\) and \(4, 6, 2",
            ),
            ({"form": "sum"}, "form must be 'half-sum' or 'mean', got 'sum'"),
            ({"reduction": "average"}, "reduction must be"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, maps, change, says):
        with pytest.raises(ValueError, match=says):
            fitnet_loss(**dict(zip(("student_features", "teacher_features"), maps)) | change)

    @pytest.mark.parametrize(
        ("student", "teacher"),
        [
            ((4, 8, 8), (6, 4, 4)),  # halved by a stride
            ((4, 4, 4), (6, 8, 8)),  # doubled by a transposed convolution
            ((4, 2, 2), (6, 8, 8)),
            ((4, 7, 6), (6, 5, 5)),  # the border goes, as in the paper
            ((4, 4, 4), (6, 4, 4)),
        ],
    )
    @pytest.mark.parametrize("normalised", [False, True])
    def test_regressor_brings_the_student_to_the_teachers_shape(self, student, teacher, normalised):
        regressor = Regressor(student, teacher, normalised=normalised)
        predicted = regressor(torch.ones(2, *student))
        assert predicted.shape == (2, *teacher) and (predicted >= 0).all()

    @pytest.mark.parametrize(
        ("student", "teacher", "says"),
        [
            ((4, 4, 4), (6, 12, 12), "no regressor brings the student's map of 4 x 4 to the teacher's 12 x 12"),
            ((4, 4, 8), (6, 8, 4), "no regressor brings the student's map of 4 x 8 to the teacher's 8 x 4"),
        ],
    )
    def test_regressor_refuses_sizes_it_cannot_reach(self, student, teacher, says):
        with pytest.raises(Refusal, match=says):
            Regressor(student, teacher)

    def test_method_takes_the_middle_stages_unless_told(self):
        sizes = ((2, 4, 8, 8), (2, 8, 4, 4), (2, 16, 2, 2))
        assert FitNet.build(setting(sizes, sizes)).pair == (1, 1)
        assert FitNet.build(setting(sizes[:2], sizes)).pair == (0, 1)
        assert FitNet.build(setting(sizes, sizes), student_stage=0, teacher_stage=2).pair == (0, 2)

    @pytest.mark.parametrize(
        ("student", "teacher", "settings", "says"),
        [
            (((2, 4, 8, 8),), ((2, 4, 8, 8),), {"student_stage": 3}, "the student has stages 0 .. 0, got 3"),
            (((2, 4, 8, 8),), ((2, 4, 8, 8),), {"temperature": 0.0}, "temperature must be above 0, got 0"),
            ((), ((2, 4, 8, 8),), {}, "the student has stages 0 .. -1, got -1|these networks name no stage"),
        ],
    )
    def test_method_refuses_an_impossible_pair(self, student, teacher, settings, says):
        with pytest.raises(Refusal, match=says):
            FitNet.build(setting(student, teacher), **settings)

    def test_first_stage_trains_the_guided_part_and_the_regressor_alone(self, batch, networks):
        student, teacher, method = networks
        (stage,) = method.preparation(student, teacher)
        (update,) = stage.updates
        (term,) = update.losses(batch).values()
        term.value.backward()
        reached = {name for name, weight in student.named_parameters() if weight.grad is not None}
        assert reached == {"lower.weight", "lower.bias"}
        assert all(weight.grad is not None for weight in method.regressor.parameters())
        assert (stage.name, stage.share) == ("hint", 0.5) and list(update.trains) == [student, method.regressor]

    @pytest.mark.parametrize(("settings", "form"), [({}, "mean"), ({"form": "half-sum"}, "half-sum")])
    def test_first_stage_takes_the_mean_unless_told(self, batch, networks, settings, form):
        student, teacher, _ = networks
        method = FitNet((4, 8, 8), (6, 8, 8), (0, 0), **settings)
        (term,) = method.preparation(student, teacher)[0].updates[0].losses(batch).values()
        mine, theirs = batch.outputs(student).features[0], batch.outputs(teacher).features[0]
        torch.testing.assert_close(term.value, fitnet_loss(method.regressor(mine), theirs, form=form))

    def test_first_stage_lowers_the_hint(self, batch, networks):
        student, teacher, method = networks
        losses = method.preparation(student, teacher)[0].updates[0].losses
        optimiser = torch.optim.SGD([*student.lower.parameters(), *method.regressor.parameters()], 0.1)
        values = []
        for _ in range(30):
            batch.live.clear()
            (term,) = losses(batch).values()
            values.append(term.value.item())
            optimiser.zero_grad()
            term.value.backward()
            optimiser.step()
        assert values[-1] < 0.7 * values[0]

    def test_second_stage_distils_with_a_falling_weight_and_without_the_regressor(self, case, asked):
        method = FitNet((4, 8, 8), (6, 8, 8), (0, 0))
        (term,) = method.losses(*asked(*case)).values()
        assert [term.weight_at(p) for p in (0.0, 0.5, 1.0)] == [4.0, 2.5, 1.0]
        assert term.value == ce_soft_loss(*case[:2], temperature=3.0) and method.adapters() == []

    def test_joint_form_is_one_stage_with_the_regressor(self, batch, networks):
        student, teacher, _ = networks
        settings = {entry.key: entry.settings for entry in ENTRIES}["fitnet-joint"]
        method = FitNet((4, 8, 8), (6, 8, 8), (0, 0), **settings)
        said, taught = batch.outputs(student), batch.outputs(teacher)
        (term,) = method.losses(said, taught, batch).values()
        assert method.preparation(student, teacher) == [] and method.adapters() == [method.regressor]
        assert term.weight == 100 and term.value.item() == pytest.approx(
            fitnet_loss(method.regressor(said.features[0]), taught.features[0], form="mean").item(), rel=1e-4
        )
