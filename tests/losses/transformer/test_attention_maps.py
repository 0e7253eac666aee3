"""What a reader may rely on in attention maps, one claim a test."""

import pytest
import torch
from torch import Tensor, nn

from kdcore.losses import attn_map_distill_loss
from kdcore.losses.transformer.attention_maps import ENTRIES, AttentionMaps
from kdcore.models import build
from kdcore.tokens import TokenOutputs
from kdcore.types import Batch, Clock, Data, Outputs, Refusal, Setting, Task

KEYS = {entry.key: entry.settings for entry in ENTRIES}


@pytest.fixture
def attention(sines) -> tuple[Tensor, Tensor]:
    """Two examples of three heads and five tokens."""
    student, teacher = (sines(2, 3, 5, 5, speed=speed).softmax(-1) for speed in (0.7, 1.3))
    return student.requires_grad_(), teacher


def said(sines, *, heads: int = 2, layers: int = 2, special: int = 1, grid=(2, 2), speed: float = 0.7, **more):
    length = special + grid[0] * grid[1] if grid else 6
    parts = {
        name: tuple(sines(3, heads, length, 4, speed=speed + shift + 0.01 * layer) for layer in range(layers))
        for name, shift in (("queries", 0.0), ("keys", 0.2))
    }
    hidden = tuple(sines(3, length, 8, speed=speed + 0.4 + 0.01 * layer) for layer in range(layers + 1))
    return TokenOutputs(torch.zeros(3, 10), hidden=hidden, grid=grid, **{**parts, **more})


def setting(student: Outputs, teacher: Outputs) -> Setting:
    return Setting(student, teacher, classes=10, samples=100, teacher_network=nn.Identity())


def value(method: AttentionMaps, student: TokenOutputs, teacher: TokenOutputs) -> Tensor:
    data = Data(torch.zeros(3, 1), torch.zeros(3, dtype=torch.long), Task(), {})
    (term,) = method.losses(student, teacher, Batch(data, torch.arange(3), 0, Clock(0, 1, 1))).values()
    return term.value


class TestAttnMapDistill:
    def test_value_worked_by_hand(self):
        student = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]], [[0.5, 0.5], [0.5, 0.5]]]])
        teacher = torch.tensor([[[[0.5, 0.5], [0.0, 1.0]], [[0.5, 0.5], [0.0, 1.0]]]])
        assert attn_map_distill_loss(student, teacher).item() == pytest.approx((0.5 + 0.5) / 2)

    def test_is_the_equation_of_the_survey(self, attention):
        each = []
        for s, t in zip(*(part.tolist() for part in attention)):
            norms = [sum((a - b) ** 2 for x, y in zip(h, g) for a, b in zip(x, y)) for h, g in zip(s, t)]
            each.append(sum(norms) / 3)
        assert attn_map_distill_loss(*attention, reduction="none").tolist() == pytest.approx(each, rel=1e-10)

    def test_agrees_with_other_peoples_code(self, attention, reference, found, theirs):
        for known in reference("attn-map-distill"):
            mine = found(attn_map_distill_loss(*attention), attention[0], known["gradient_at"], 1 / known["factor"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_zero_only_when_equal_and_sees_the_order_of_heads_and_tokens(self, attention):
        _, teacher = attention
        assert attn_map_distill_loss(teacher, teacher) == 0
        assert attn_map_distill_loss(teacher[:, [1, 0, 2]], teacher) > 0.1
        assert attn_map_distill_loss(teacher.transpose(2, 3), teacher) > 0.1
        both = [part[:, :, [4, 2, 0, 1, 3]][..., [4, 2, 0, 1, 3]] for part in attention]
        torch.testing.assert_close(attn_map_distill_loss(*both), attn_map_distill_loss(*attention))

    def test_never_above_twice_the_number_of_tokens(self):
        here, there = torch.eye(4).expand(2, 3, 4, 4), torch.eye(4).flip(0).expand(2, 3, 4, 4)
        assert attn_map_distill_loss(here, there).item() == 8

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"teacher_attention": torch.zeros(2, 4, 5, 5)}, ValueError, "must have the same shape"),
            ({"student_attention": torch.zeros(2, 3, 5, 5, dtype=torch.long)}, TypeError, "must hold floating-point"),
            ({"reduction": "average"}, ValueError, "reduction must be"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, attention, change, error, says):
        with pytest.raises(error, match=says):
            attn_map_distill_loss(**dict(zip(("student_attention", "teacher_attention"), attention)) | change)


class TestAttentionMaps:
    def test_averages_over_pairs_of_layers(self, sines):
        student, teacher = said(sines), said(sines, layers=4, speed=1.3)
        method = AttentionMaps.build(setting(student, teacher))
        assert method.pairs == ((1, 2), (2, 4)) and method.by_head
        pairs = ((student.attention[0], teacher.attention[1]), (student.attention[1], teacher.attention[3]))
        expected = sum(attn_map_distill_loss(*pair) for pair in pairs) / 2
        torch.testing.assert_close(value(method, student, teacher), expected)

    def test_named_pairs_are_taken(self, sines):
        student, teacher = said(sines), said(sines, layers=4, speed=1.3)
        method = AttentionMaps.build(setting(student, teacher), mapping=[[2, 1]])
        expected = attn_map_distill_loss(student.attention[1], teacher.attention[0])
        torch.testing.assert_close(value(method, student, teacher), expected)

    def test_a_deeper_student_starts_at_the_teachers_first_layer(self, sines):
        method = AttentionMaps.build(setting(said(sines, layers=6), said(sines, speed=1.3)))
        assert method.pairs == ((1, 1), (2, 1), (3, 1), (4, 1), (5, 2), (6, 2))

    def test_different_numbers_of_heads_are_averaged_first(self, sines):
        student, teacher = said(sines, heads=3), said(sines, heads=2, speed=1.3)
        method = AttentionMaps.build(setting(student, teacher))
        pairs = zip(student.attention, teacher.attention)
        means = [[part.mean(1, keepdim=True) for part in pair] for pair in pairs]
        assert not method.by_head
        expected = sum(attn_map_distill_loss(*pair) for pair in means) / 2
        torch.testing.assert_close(value(method, student, teacher), expected)

    def test_a_distillation_token_is_left_out_and_rows_sum_to_one_again(self, sines):
        student, teacher = said(sines, special=2), said(sines, speed=1.3)
        method = AttentionMaps.build(setting(student, teacher))
        kept = student.attention[0][:, :, [0, 2, 3, 4, 5]][..., [0, 2, 3, 4, 5]]
        maps = method.maps(student, 1)
        torch.testing.assert_close(maps, kept / kept.sum(3, keepdim=True))
        assert maps.shape == method.maps(teacher, 1).shape == (3, 2, 5, 5)

    def test_reported_probabilities_are_treated_alike(self, sines):
        student, teacher = said(sines, special=2), said(sines, speed=1.3)
        method = AttentionMaps.build(setting(student, teacher))
        told = said(sines, special=2, queries=(), keys=(), reported=student.attention)
        torch.testing.assert_close(method.maps(told, 2), method.maps(student, 2))

    def test_a_finer_grid_is_summed_over_cells_and_averaged_from_them(self, sines):
        fine, coarse = said(sines, grid=(4, 2)), said(sines, grid=(2, 2), speed=1.3)
        method = AttentionMaps.build(setting(fine, coarse))
        maps, full = method.maps(fine, 1), fine.attention[0]
        assert maps.shape == (3, 2, 5, 5)
        torch.testing.assert_close(maps.sum(3), torch.ones(3, 2, 5, dtype=torch.float64))
        cell = [1, 3]  # rows 0 and 1 of the first column are the first cell; the class token stands in front
        torch.testing.assert_close(maps[:, :, 0, 1], full[:, :, 0, cell].sum(-1))
        torch.testing.assert_close(maps[:, :, 1, 0], full[:, :, cell, 0].mean(-1))
        torch.testing.assert_close(maps[:, :, 1, 2], full[:, :, cell][..., [2, 4]].sum(-1).mean(-1))

    def test_padding_looks_nowhere_and_is_not_looked_at(self, sines):
        mask = torch.tensor([[True] * 4 + [False] * 2] * 3)
        student, teacher = (said(sines, grid=None, mask=mask, causal=True, speed=s) for s in (0.7, 1.3))
        method = AttentionMaps.build(setting(student, teacher))
        maps = method.maps(student, 1)
        assert (maps[:, :, 4:] == 0).all() and (maps[..., 4:] == 0).all() and (maps.triu(1) == 0).all()
        torch.testing.assert_close(maps[:, :, :4].sum(3), torch.ones(3, 2, 4, dtype=torch.float64))

    def test_tinyberts_form_is_the_mean_over_scores(self, sines):
        student, teacher = said(sines), said(sines, speed=1.3)
        method = AttentionMaps.build(setting(student, teacher), **KEYS["attn-map-distill-tinybert"])
        pairs = zip(student.attention_logits, teacher.attention_logits)
        expected = sum(nn.functional.mse_loss(*pair) for pair in pairs) / 2
        torch.testing.assert_close(value(method, student, teacher), expected)

    def test_networks_of_different_depth_width_and_tokens_are_matched(self):
        student, teacher = build("digits-deit-student", 10), build("digits-vit-teacher", 10).requires_grad_(False)
        images = torch.linspace(0, 1, 3 * 64).view(3, 1, 8, 8)
        mine, theirs = student(images), teacher(images)
        method = AttentionMaps.build(setting(mine, theirs))
        found = value(method, mine, theirs)
        found.backward()
        reached = {name.partition(".")[0] for name, weight in student.named_parameters() if weight.grad is not None}
        assert method.pairs == ((1, 2), (2, 4)) and method.special == 1 and found > 0
        assert reached == {"patches", "special", "positions", "layers"}

    @pytest.mark.parametrize(
        ("student", "teacher", "settings", "says"),
        [
            (None, {}, {}, "matches where a transformer's tokens look, and the student tells no attention"),
            ({}, None, {}, "and the teacher tells no attention"),
            ({"grid": (4, 4)}, {"grid": (3, 3)}, {}, r"one grid of patches must divide the other, got \(4, 4\) and"),
            ({"grid": None}, {}, {}, "both networks must read an image's patches, or both a text's tokens"),
            ({}, {}, {"mapping": [[0, 1]]}, "attention starts in layer 1"),
            ({}, {}, {"mapping": [[3, 1]]}, "the student has layers 1 .. 2"),
            ({}, {}, {"of": "scores"}, "of must be 'probabilities' or 'logits', got 'scores'"),
            ({"grid": (4, 4)}, {}, {"of": "logits"}, "scores before the softmax are matched where both networks give"),
            ({}, {}, {"weight": -1.0}, "weight must be at least 0"),
        ],
    )
    def test_refuses_what_cannot_be(self, sines, student, teacher, settings, says):
        plain = Outputs(torch.zeros(3, 10))
        both = [plain if how is None else said(sines, **how) for how in (student, teacher)]
        with pytest.raises(Refusal, match=says):
            AttentionMaps.build(setting(*both), **settings)

    def test_texts_of_different_lengths_are_refused(self, sines):
        short = said(sines, grid=None)
        long = TokenOutputs(short.logits, hidden=(torch.zeros(3, 9, 8),) * 3, queries=short.queries, keys=short.keys)
        with pytest.raises(Refusal, match="the student reads 6 where the teacher reads 9"):
            AttentionMaps.build(setting(short, long))
