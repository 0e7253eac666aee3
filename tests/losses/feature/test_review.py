"""What a reader may rely on in knowledge review, one claim a test."""

import pytest
import torch
from torch import nn

from kdcore.losses import reviewkd_loss
from kdcore.losses.feature.review import Fusion, ReviewKD
from kdcore.types import Outputs, Refusal

STAGES = [(4, 8, 8), (6, 4, 4), (8, 2, 2)]


def averaged(channel: list[list[float]], size: int) -> list[list[float]]:
    """A square map averaged to `size` rows and columns that divide it."""
    step = len(channel) // size
    blocks = range(size)
    cells = lambda i, j: [channel[step * i + a][step * j + b] for a in range(step) for b in range(step)]
    return [[sum(cells(i, j)) / step**2 for j in blocks] for i in blocks]


def distance(student: list, teacher: list, size: int | None) -> float:
    """Mean squared difference of two lists of channels, averaged to a size first."""
    pairs = [[m if size is None else averaged(m, size) for m in pair] for pair in zip(student, teacher)]
    squares = [(a - b) ** 2 for s, t in pairs for row_s, row_t in zip(s, t) for a, b in zip(row_s, row_t)]
    return sum(squares) / len(squares)


class TestReviewKD:
    def test_value_worked_by_hand(self):
        student, teacher = torch.zeros(1, 1, 2, 2), torch.tensor([[[[4.0, 0.0], [0.0, 0.0]]]])
        whole, mean = 16 / 4, 1.0  # as it is; one number on average
        assert reviewkd_loss(student, teacher).item() == pytest.approx((whole + mean / 2) / 1.5)

    @pytest.mark.parametrize("side", [1, 2, 4, 8])
    def test_is_the_mean_over_its_levels(self, sines, side):
        maps = sines(3, 2, side, side, speed=0.7), sines(3, 2, side, side, speed=1.3)
        each = []
        for s, t in zip(*(m.tolist() for m in maps)):
            levels = [None, *(size for size in (4, 2, 1) if size < side)]
            weights = [0.5**level for level in range(len(levels))]
            found = sum(w * distance(s, t, size) for w, size in zip(weights, levels))
            each.append(found / sum(weights))
        assert reviewkd_loss(*maps, reduction="none").tolist() == pytest.approx(each, rel=1e-10)

    def test_agrees_with_the_authors_code(self, sines, reference, found, theirs):
        cases = [known for known in reference("reviewkd") if "shape" in known]
        for known in cases:
            student, teacher = sines(*known["shape"], speed=0.7).requires_grad_(), sines(*known["shape"], speed=1.3)
            mine = found(reviewkd_loss(student, teacher), student, known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)
        assert len(cases) == 3

    def test_zero_only_when_equal_and_sees_channels_places_and_scale(self, maps):
        student, teacher = maps
        assert reviewkd_loss(teacher, teacher) == 0
        for other in (teacher.flip(1), teacher.flip(2), 1.1 * teacher):
            assert reviewkd_loss(other, teacher) > 1e-2
        torch.testing.assert_close(reviewkd_loss(student + 3, teacher + 3), reviewkd_loss(student, teacher))

    def test_a_constant_error_costs_the_same_at_every_level(self, maps):
        _, teacher = maps
        torch.testing.assert_close(reviewkd_loss(teacher + 2, teacher), torch.tensor(4.0, dtype=torch.float64))

    def test_levels_no_smaller_than_the_map_are_left_out(self, sines):
        wide = sines(2, 3, 2, 6, speed=0.7), sines(2, 3, 2, 6, speed=1.3)
        pooled = [m.mean((2, 3)) for m in wide]
        expected = ((wide[0] - wide[1]).square().mean() + (pooled[0] - pooled[1]).square().mean() / 2) / 1.5
        torch.testing.assert_close(reviewkd_loss(*wide), expected)

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"teacher_features": torch.zeros(4, 6, 2, 2)}, ValueError, r"same shape, got \(4, 6, 4, 4\) and \(4, 6,"),
            ({"student_features": torch.zeros(4, 6, 4, 4).int()}, TypeError, "student_features must hold floating"),
            ({"reduction": "average"}, ValueError, "reduction must be"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, maps, change, error, says):
        with pytest.raises(error, match=says):
            reviewkd_loss(**dict(zip(("student_features", "teacher_features"), maps)) | change)


class TestFusion:
    def test_the_deepest_passes_its_own_on(self, filled, sines):
        fusion = filled(Fusion((4, 2, 2), (6, 2, 2), 3, deepest=True))
        matched, handed = fusion(sines(2, 4, 2, 2, speed=0.7))
        assert matched.shape == (2, 6, 2, 2) and handed.shape == (2, 3, 2, 2)

    def test_with_its_attention_shut_on_one_side_the_other_is_left(self, sines):
        """The two gates are sigmoids of the same maps; a bias far below zero shuts one."""
        fusion = Fusion((4, 4, 4), (6, 4, 4), 3).double()
        nn.init.zeros_(fusion.attention[0].weight)
        fusion.attention[0].bias.data = torch.tensor([50.0, -50.0], dtype=torch.float64)
        features, deeper = sines(2, 4, 4, 4, speed=0.7), sines(2, 3, 2, 2, speed=1.3)
        torch.testing.assert_close(fusion(features, deeper)[1], fusion.narrow(features))
        fusion.attention[0].bias.data = torch.tensor([-50.0, 50.0], dtype=torch.float64)
        enlarged = deeper.repeat_interleave(2, 2).repeat_interleave(2, 3)
        torch.testing.assert_close(fusion(features, deeper)[1], enlarged)

    def test_brings_the_student_to_the_teachers_size(self, sines):
        fusion = Fusion((4, 4, 4), (6, 8, 8), 3, deepest=True).double()
        assert fusion(sines(2, 4, 4, 4, speed=0.7))[0].shape == (2, 6, 8, 8)


class TestReviewKDMethod:
    def answers(self, layers, student, teacher):
        """Both networks' answers; the last shape of each is its embedding."""
        made = []
        for shapes, speed in ((student, 0.7), (teacher, 1.3)):
            *maps, vector = layers(4, shapes, speed)
            made.append(Outputs(vector[:, :, 0, 0], tuple(maps), (), vector[:, :, 0, 0].requires_grad_()))
        return made

    def test_agrees_with_the_authors_chain_of_fusions(self, layers, filled, batch, reference, found, theirs):
        cases = [known for known in reference("reviewkd") if "student" in known]
        for known in cases:
            shapes = [[tuple(shape) for shape in known[whose]] for whose in ("student", "teacher")]
            student, teacher = self.answers(layers, *shapes)
            method = filled(ReviewKD(*shapes, [(stage, stage) for stage in range(3)]))
            for maps in student.features:
                maps.requires_grad_()
            (term,) = method.losses(student, teacher, batch).values()
            about = student.features[-1] if known["of"] == "the deepest stage" else student.embedding
            assert found(term.value, about, known["gradient_at"][: about.ndim]) == pytest.approx(
                theirs(known), rel=1e-10
            )
        assert len(cases) == 2

    def test_a_shallow_layer_of_the_teacher_is_learned_by_the_deep_ones_of_the_student_and_not_the_reverse(
        self, layers, batch
    ):
        """Errata N-01: the direction, seen from the gradients of each layer's part of the loss."""
        shapes = [*STAGES, (8, 1, 1)]
        student, teacher = self.answers(layers, shapes, shapes)
        method = ReviewKD(shapes, shapes, [(stage, stage) for stage in range(3)]).double()
        for maps in student.features:
            maps.requires_grad_()
        for layer in range(4):
            quiet = [m if depth == layer else None for depth, m in enumerate([*teacher.features, teacher.embedding])]
            value = self.only(method, student, quiet, layer)
            slopes = torch.autograd.grad(value, [*student.features, student.embedding], allow_unused=True)
            assert [slope is not None for slope in slopes] == [depth >= layer for depth in range(4)]

    def only(self, method, student, targets, layer):
        """The part of the loss that belongs to one of the teacher's layers."""
        mine, handed = [*student.features, student.embedding[:, :, None, None]], None
        for depth in (3, 2, 1, 0):
            made, handed = method.fusions[depth](mine[depth], handed)
            if depth == layer:
                target = targets[layer] if layer < 3 else targets[layer][:, :, None, None]
                return reviewkd_loss(made, target)

    def test_compares_with_the_teacher_before_its_relu_where_it_tells(self, layers, batch):
        shapes = [*STAGES, (8, 1, 1)]
        student, teacher = self.answers(layers, shapes, shapes)
        method = ReviewKD(shapes, shapes, [(stage, stage) for stage in range(3)]).double()
        plain = method.losses(student, teacher, batch)["reviewkd"].value
        teacher.preactivations = tuple(m - 1 for m in teacher.features)
        assert method.losses(student, teacher, batch)["reviewkd"].value != plain

    def test_builds_its_fusions_from_shapes_that_differ_in_every_size(self, sized):
        student = [(116, 16, 16), (232, 8, 8), (464, 4, 4)]
        teacher = [(64, 32, 32), (128, 16, 16), (256, 8, 8)]
        method = ReviewKD.build(sized(student, teacher, (1024, 256)))
        assert len(method.fusions) == 4 and method.fusions[0].narrow[0].out_channels == 512
        assert [fusion.outside for fusion in method.fusions] == [(32, 32), (16, 16), (8, 8), (1, 1)]
        assert len(ReviewKD.build(sized(student, teacher)).fusions) == 3  # no embeddings, no last layer

    def test_warms_up_over_the_authors_twenty_epochs(self, sized):
        method = ReviewKD.build(sized(STAGES, STAGES))
        assert [method.weight_at(p) for p in (0.0, 10 / 240, 20 / 240, 1.0)] == pytest.approx([0.0, 4.0, 8.0, 8.0])

    @pytest.mark.parametrize(
        ("student", "settings", "says"),
        [
            (STAGES[:2], {}, "the student has 2 stages and the teacher 3: name the pairs"),
            (STAGES, {"weight": -1.0}, "weight must be at least 0, got -1"),
        ],
    )
    def test_refuses_an_impossible_pair(self, sized, student, settings, says):
        with pytest.raises(Refusal, match=says):
            ReviewKD.build(sized(student, STAGES), **settings)
