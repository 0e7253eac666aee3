"""What a transformer's answer promises to those who read it."""

import pytest
import torch
import torch.nn.functional as F

from kdcore.tokens import TokenOutputs, masked_softmax, scores


@pytest.fixture
def heads() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries, keys and values of two examples, three heads, five tokens."""
    index = torch.arange(2 * 3 * 5 * 4, dtype=torch.float64).view(2, 3, 5, 4)
    return tuple(4 * torch.sin(speed * index + 1) for speed in (0.7, 1.3, 1.9))


def outputs(heads, **more) -> TokenOutputs:
    queries, keys, values = heads
    return TokenOutputs(torch.zeros(2, 10), queries=(queries,), keys=(keys,), values=(values,), **more)


class TestAttention:
    def test_is_what_the_network_itself_computes_with(self, heads):
        said = outputs(heads)
        torch.testing.assert_close(said.attention[0] @ heads[2], F.scaled_dot_product_attention(*heads))

    def test_causal_tokens_see_what_came_before(self, heads):
        said = outputs(heads, causal=True)
        expected = F.scaled_dot_product_attention(*heads, is_causal=True)
        torch.testing.assert_close(said.attention[0] @ heads[2], expected)
        assert (said.attention[0].triu(1) == 0).all()

    def test_nobody_looks_at_padding(self, heads):
        mask = torch.tensor([[True] * 3 + [False] * 2, [True] * 5])
        said = outputs(heads, mask=mask)
        expected = F.scaled_dot_product_attention(*heads, attn_mask=mask[:, None, None, :])
        torch.testing.assert_close(said.attention[0] @ heads[2], expected)

    def test_a_sequence_of_padding_alone_looks_nowhere_and_has_a_finite_gradient(self, heads):
        mask = torch.tensor([[False] * 5, [True] * 5])
        queries = heads[0].requires_grad_()
        attention = outputs((queries, *heads[1:]), mask=mask, causal=True).attention[0]
        attention.square().sum().backward()
        assert (attention[0] == 0).all() and queries.grad.isfinite().all() and queries.grad[1].abs().sum() > 0

    def test_what_the_network_reports_comes_first(self, heads):
        reported = (torch.full((2, 3, 5, 5), 0.2),)
        assert outputs(heads, reported=reported).attention is reported

    def test_logits_are_those_before_mask_and_softmax(self, heads):
        said = outputs(heads, causal=True)
        torch.testing.assert_close(said.attention_logits[0], heads[0] @ heads[1].mT / 2)

    def test_half_precision_is_widened_also_inside_autocast(self, heads):
        halves = [part.bfloat16() for part in heads[:2]]
        with torch.autocast("cpu", torch.bfloat16):
            inside = scores(*halves)
        assert inside.dtype == torch.float32 and torch.equal(inside, scores(*halves))

    def test_needs_no_values_on_the_meta_device(self, heads):
        said = outputs([part.to("meta") for part in heads], causal=True)
        assert said.attention[0].shape == (2, 3, 5, 5) and said.attention[0].device.type == "meta"


class TestTokenOutputs:
    def test_counts_the_tokens_in_front_of_an_images_patches(self):
        hidden = (torch.zeros(2, 6, 8),)
        assert TokenOutputs(torch.zeros(2, 10), hidden=hidden, grid=(2, 2)).special == 2
        assert TokenOutputs(torch.zeros(2, 10), hidden=hidden).special == 0

    def test_knows_its_length_from_whatever_it_holds(self, heads):
        assert outputs(heads).length == 5
        assert TokenOutputs(torch.zeros(2, 10), reported=(torch.zeros(2, 3, 4, 4),)).length == 4

    def test_changes_and_keeps_all_its_parts_at_once(self, heads):
        mask = torch.ones(2, 5, dtype=torch.bool)
        said = outputs(heads, mask=mask, grid=(2, 2), causal=True, distillation_logits=torch.zeros(2, 10))
        first = said.map(lambda value: value[:1])
        assert first.queries[0].shape[0] == first.mask.shape[0] == first.distillation_logits.shape[0] == 1
        assert first.grid == (2, 2) and first.causal

    def test_softmax_leaves_out_what_is_not_allowed(self):
        allowed = torch.tensor([[True, False, True]])
        found = masked_softmax(torch.tensor([[1.0, 50.0, 1.0]]), allowed)
        assert found.tolist() == [[0.5, 0.0, 0.5]]
