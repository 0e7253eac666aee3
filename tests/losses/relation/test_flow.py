"""What a reader may rely on in the flow between layers, one claim a test."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from kdcore.losses import fsp_loss, fsp_matrix
from kdcore.losses.relation.flow import FSP
from kdcore.models._parts import ImageOutputs
from kdcore.randomness import seeded
from kdcore.types import Batch, Clock, Data, Outputs, Refusal, Setting, Task


@pytest.fixture
def layers(sines):
    """Two layers of the student, two of the teacher; the second ones half as wide."""
    sizes, speeds = [(4, 3, 4, 4), (4, 5, 2, 2)] * 2, (0.7, 0.9, 1.3, 1.7)
    first, *others = (sines(*size, speed=speed) for size, speed in zip(sizes, speeds))
    return first.requires_grad_(), *others


class Toy(nn.Module):
    """Two layers and a head, so that one sees where a gradient ends."""

    def __init__(self, widths: tuple[int, int]):
        super().__init__()
        self.lower, self.upper = nn.Conv2d(1, widths[0], 3, padding=1), nn.Conv2d(*widths, 3, stride=2, padding=1)
        self.head = nn.Linear(widths[1], 10)

    def forward(self, images):
        low = self.lower(images).relu()
        high = self.upper(low).relu()
        return Outputs(self.head(high.mean((2, 3))), (low, high))


class TestFSP:
    def test_value_worked_by_hand(self):
        first, second = torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[3.0, 4.0]], [[0.0, 2.0]]]])
        assert_close(fsp_matrix(first, second), torch.tensor([[[11 / 2, 2.0]]]))
        assert fsp_loss(first, second, first, 2 * second).item() == pytest.approx((11 / 2) ** 2 + 4)
        assert fsp_loss(first, second, first, 2 * second, form="mean").item() == pytest.approx(((11 / 2) ** 2 + 4) / 2)

    @pytest.mark.parametrize(("form", "share"), [("sum", 1), ("mean", 1 / 15)])
    def test_is_the_equation_of_the_survey(self, layers, form, share):
        first, second, other_first, other_second = (m.detach() for m in layers)
        pooled = F.max_pool2d(first, 2), F.max_pool2d(other_first, 2)
        each = []
        for a, b, c, d in zip(pooled[0].tolist(), second.tolist(), pooled[1].tolist(), other_second.tolist()):
            flow = lambda x, y, i, j: sum(x[i][u][v] * y[j][u][v] for u in range(2) for v in range(2)) / 4
            each.append(share * sum((flow(a, b, i, j) - flow(c, d, i, j)) ** 2 for i in range(3) for j in range(5)))
        assert fsp_loss(*layers, form=form, reduction="none").tolist() == pytest.approx(each, rel=1e-10)

    def test_agrees_with_other_peoples_code(self, layers, reference, found, theirs):
        for known in reference("fsp"):
            mine = found(fsp_loss(*layers, **known["settings"]), layers[0], known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_positions_may_be_shuffled_together_and_channels_may_not(self, sines):
        maps = [sines(4, 3, 2, 2, speed=speed) for speed in (0.7, 0.9, 1.3, 1.7)]
        value = fsp_loss(*maps)
        assert_close(fsp_loss(*(m.flip(3) for m in maps[:2]), *maps[2:]), value)
        assert abs(fsp_loss(maps[0].flip(3), *maps[1:]) - value) > 0.1
        assert abs(fsp_loss(maps[0].flip(1), *maps[1:]) - value) > 0.01

    def test_flattening_a_map_to_one_vector_is_something_else(self, layers):
        """zhao2026 section 3.3 would give 48 x 48 numbers for one map of 3 x 4 x 4 (errata Z-19)."""
        assert fsp_matrix(layers[0], layers[1]).shape == (4, 3, 5)
        flat = layers[0].detach().flatten(1)
        assert (flat[:, :, None] * flat[:, None]).shape == (4, 48, 48)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"teacher_second": torch.zeros(4, 4, 2, 2)}, r"must have equal channels, got \[3, 5\] and \[3, 4\]"),
            ({"form": "norm"}, "form must be 'sum' or 'mean', got 'norm'"),
            ({"pooling": "least"}, "pooling must be 'max' or 'average', got 'least'"),
            ({"student_second": torch.zeros(4, 5)}, r"student_second must have shape \(batch, channels, height"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, layers, change, says):
        names = ("student_first", "student_second", "teacher_first", "teacher_second")
        with pytest.raises(ValueError, match=says):
            fsp_loss(**dict(zip(names, layers)) | change)

    def test_method_takes_the_stem_where_there_is_one(self, sines):
        empty = lambda *shape: torch.empty(2, *shape, device="meta")
        maps = (empty(3, 4, 4), empty(5, 2, 2))
        plain, stemmed = Outputs(empty(10), maps), ImageOutputs(empty(10), maps, stem=empty(2, 4, 4))
        build = lambda said: FSP.build(Setting(said, said, 10, 100, nn.Identity()))
        assert [len(build(said).projections) for said in (plain, stemmed)] == [2, 3]

    @pytest.mark.parametrize(
        ("student", "teacher", "settings", "says"),
        [
            (
                [(3, 4, 4), (5, 2, 2)],
                [(3, 4, 4), (6, 2, 2)],
                {},
                "layers have 3, 5 channels where the teacher's have 3, 6",
            ),
            ([(3, 4, 4)], [(3, 4, 4)], {}, "the flow needs two or more layers, .* got 1 and 1"),
            ([(3, 4, 4), (5, 2, 2)], [(3, 4, 4)] * 3, {}, "got 2 and 3"),
            ([(3, 4, 4), (5, 2, 2)], [(3, 4, 4), (5, 2, 2)], {"share": 0.0}, "share must be above 0, got 0"),
        ],
    )
    def test_method_refuses_an_impossible_pair(self, setting, student, teacher, settings, says):
        with pytest.raises(Refusal, match=says):
            FSP.build(setting(student, teacher), **settings)

    @pytest.fixture
    def first_stage(self, sines):
        """A student narrower than its teacher, the method between them, and a batch of images."""
        student, teacher = (seeded(lambda w=widths: Toy(w), 0, str(widths)) for widths in ((4, 6), (6, 8)))
        method = seeded(lambda: FSP((4, 6), (6, 8), projected=True), 0)
        images = sines(6, 1, 8, 8, speed=0.3, dtype=torch.float32)
        data = Data(images, torch.arange(6), Task(), {"weak": lambda x, random: x}, classes=10)
        return student, teacher.requires_grad_(False), method, Batch(data, torch.arange(6), 0, Clock(0, 100, 10))

    def test_first_stage_leaves_the_classifier_alone_and_lowers_the_loss(self, first_stage):
        student, teacher, method, batch = first_stage
        (stage,) = method.preparation(student, teacher)
        (update,) = stage.updates
        assert (stage.name, stage.share) == ("flow", 1 / 8) and list(update.trains) == [student, method.projections]
        learned = [*student.parameters(), *method.projections.parameters()]
        optimiser, values = torch.optim.Adam(learned, 0.01), []
        for _ in range(30):
            batch.live.clear()
            (term,) = update.losses(batch).values()
            values.append(term.value.item())
            optimiser.zero_grad()
            term.value.backward()
            optimiser.step()
        reached = {name for name, weight in student.named_parameters() if weight.grad is not None}
        assert reached == {"lower.weight", "lower.bias", "upper.weight", "upper.bias"}
        assert values[-1] < 0.7 * values[0]

    def test_second_stage_logs_the_flow_and_does_not_pull(self, first_stage):
        student, teacher, method, batch = first_stage
        (term,) = method.losses(batch.outputs(student), batch.outputs(teacher), batch).values()
        assert term.weight == 0 and term.value > 0 and method.adapters() == []

    def test_joint_form_is_one_stage(self, first_stage):
        student, teacher, _, batch = first_stage
        method = FSP((4, 6), (6, 8), projected=True, joint=True, weight=3.0)
        (term,) = method.losses(batch.outputs(student), batch.outputs(teacher), batch).values()
        assert method.preparation(student, teacher) == [] and term.weight == 3
        assert method.adapters() == [method.projections]
