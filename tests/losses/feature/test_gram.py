"""What a reader may rely on in Gram matrices of one layer, one claim a test."""

import pytest
import torch

from kdcore.losses import gram_style_matching_loss, gram_style_matching_survey_loss
from kdcore.losses.feature.gram import GramStyleMatching
from kdcore.types import Outputs, Refusal

SHAPES = ((4, 8, 8), (6, 4, 4))
WIDER = ((5, 8, 8), (9, 4, 4))


def flat(maps: list) -> list[list[float]]:
    """The channels of one example as rows of numbers."""
    return [[value for row in channel for value in row] for channel in maps]


def products(rows: list[list[float]]) -> list[list[float]]:
    return [[sum(a * b for a, b in zip(one, other)) / len(one) for other in rows] for one in rows]


def apart(one: list[list[float]], other: list[list[float]]) -> float:
    return sum((a - b) ** 2 for row, line in zip(one, other) for a, b in zip(row, line)) / len(one) ** 2


class TestGramStyleMatching:
    def test_value_worked_by_hand(self):
        student = torch.tensor([[[[1.0, 1.0]], [[0.0, 2.0]]]])  # (1, 1; 1, 2) after dividing by two positions
        teacher = torch.tensor([[[[0.0, 2.0]], [[1.0, 1.0]]]])  # (2, 1; 1, 1)
        assert gram_style_matching_loss(student, teacher).item() == (1 + 0 + 0 + 1) / 4

    def test_is_the_equation(self, maps):
        pairs = zip(*(m.tolist() for m in maps))
        each = [apart(products(flat(s)), products(flat(t))) for s, t in pairs]
        assert gram_style_matching_loss(*maps, reduction="none").tolist() == pytest.approx(each, rel=1e-10)

    def test_agrees_with_code_of_style_transfer(self, maps, sines, reference, found, theirs):
        for known in reference("gram-style-matching"):
            value = gram_style_matching_loss(maps[0], sines(*known["teacher"], speed=1.3))
            mine = found(value, maps[0], known["gradient_at"], known["factor"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_forgets_positions_and_keeps_channels_and_scale(self, maps):
        student, teacher = maps
        value = gram_style_matching_loss(student, teacher)
        torch.testing.assert_close(gram_style_matching_loss(student.flip(2).transpose(2, 3), teacher), value)
        torch.testing.assert_close(gram_style_matching_loss(2 * student, 2 * teacher), 16 * value)
        assert abs(gram_style_matching_loss(student[:, [1, 0, 2, 3, 4, 5]], teacher) - value) > 1e-3
        assert gram_style_matching_loss(-teacher, teacher) == 0

    def test_turning_the_pixels_of_both_layers_by_an_orthogonal_matrix_changes_nothing(self, maps, sines):
        turn, _ = torch.linalg.qr(sines(16, 16, speed=0.37))
        turned = [(m.detach().flatten(2) @ turn).view_as(m) for m in maps]
        torch.testing.assert_close(gram_style_matching_loss(*turned), gram_style_matching_loss(*maps))

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"teacher_features": torch.zeros(4, 5, 4, 4)}, "same number of channels, got 6 and 5"),
            ({"reduction": "average"}, "reduction must be"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, maps, change, says):
        with pytest.raises(ValueError, match=says):
            gram_style_matching_loss(**dict(zip(("student_features", "teacher_features"), maps)) | change)

    def test_method_sums_stages_with_a_projector_where_channels_differ(self, sized, layers, batch):
        method = GramStyleMatching.build(sized((SHAPES[0], WIDER[1]), WIDER)).double()
        student, teacher = (
            Outputs(torch.zeros(8, 10), tuple(layers(8, shapes, speed)))
            for shapes, speed in (((SHAPES[0], WIDER[1]), 0.7), (WIDER, 1.3))
        )
        (term,) = method.losses(student, teacher, batch).values()
        first = gram_style_matching_loss(method.projectors[0](student.features[0]), teacher.features[0])
        second = gram_style_matching_loss(student.features[1], teacher.features[1])  # nothing stands between
        torch.testing.assert_close(term.value, first + second)
        assert term.weight == 1 and not method.zero_at_agreement

    def test_method_refuses_an_unknown_form(self):
        with pytest.raises(Refusal, match="form must be 'channels' or 'survey', got 'vector'"):
            GramStyleMatching(((4, 4),), ((0, 0),), form="vector")


class TestGramStyleMatchingSurvey:
    def test_value_worked_by_hand(self):
        student, teacher = torch.tensor([[[[2.0, 0.0]]]]), torch.tensor([[[[1.0, 1.0]]]])
        by_hand = ((4 - 1) ** 2 + (0 - 1) ** 2 + (0 - 1) ** 2 + (0 - 1) ** 2) / 4  # (4, 0; 0, 0) and (1, 1; 1, 1)
        assert gram_style_matching_survey_loss(student, teacher).item() == by_hand

    def test_is_the_whole_matrix_that_is_never_made(self, maps):
        s, t = (m.detach().flatten(1) for m in maps)
        whole = s[:, :, None] * s[:, None] - t[:, :, None] * t[:, None]
        each = gram_style_matching_survey_loss(*maps, reduction="none")
        torch.testing.assert_close(each, whole.square().sum((1, 2)) / 96**2)

    def test_knows_a_layer_only_as_a_vector_up_to_its_sign(self, maps):
        _, teacher = maps
        assert gram_style_matching_survey_loss(-teacher, teacher) == 0
        reshaped = [m.detach().flatten(1).view(4, 2, 6, 8) for m in maps]  # other channels, same numbers
        torch.testing.assert_close(gram_style_matching_survey_loss(*reshaped), gram_style_matching_survey_loss(*maps))
        assert gram_style_matching_loss(*reshaped) != pytest.approx(gram_style_matching_loss(*maps).item(), rel=0.1)

    def test_pays_where_the_channels_own_matrix_sees_no_difference(self, maps):
        _, teacher = maps
        assert gram_style_matching_loss(teacher.flip(2), teacher).item() == pytest.approx(0, abs=1e-20)
        assert gram_style_matching_survey_loss(teacher.flip(2), teacher) > 1

    @pytest.mark.parametrize("says", [r"must have the same shape, got \(4, 6, 4, 4\) and \(4, 6, 2, 2\)"])
    def test_maps_of_other_sizes_are_answered_in_a_sentence(self, maps, says):
        with pytest.raises(ValueError, match=says):
            gram_style_matching_survey_loss(maps[0], torch.zeros(4, 6, 2, 2))

    def test_method_takes_it_where_told_and_refuses_other_sizes(self, maps, sized, batch):
        student, teacher = (Outputs(m[:, :, 0, 0], (m,)) for m in maps)
        (term,) = GramStyleMatching(((6, 6),), ((0, 0),), form="survey").losses(student, teacher, batch).values()
        assert term.value == gram_style_matching_survey_loss(*maps)
        with pytest.raises(Refusal, match="needs maps of one size, got 4 x 4 and 8 x 8: name the pairs"):
            GramStyleMatching.build(sized(SHAPES[1:], WIDER[:1]), form="survey")
