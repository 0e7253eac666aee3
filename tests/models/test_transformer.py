"""Tokens in, token answers out: what a transformer says of its insides, how it reads on, what padding does."""

import pytest
import torch

from kdcore.models import build
from kdcore.models.transformer import Transformer
from kdcore.tokens import TokenOutputs
from kdcore.types import Refusal


def network(**settings) -> Transformer:
    torch.manual_seed(0)
    made = Transformer(20, **{"width": 12, "layers": 3, "heads": 2, "length": 16} | settings).double().eval()
    with torch.no_grad():
        made.tokens.weight.mul_(20)
        for layer in made.layers:
            layer.query_key_value.weight.mul_(20)
    return made


TOKENS = 1 + torch.arange(24).view(2, 12) % 19


class TestAnswer:
    def test_says_its_states_and_what_its_heads_are_made_of(self):
        said = network()(TOKENS)
        assert isinstance(said, TokenOutputs) and said.causal and said.mask is None
        assert [state.shape for state in said.hidden] == [(2, 12, 12)] * 4
        assert all(torch.equal(a, b) for a, b in zip(said.hidden[1:], said.features))
        assert torch.equal(said.tokens, said.embedding)
        for parts in (said.queries, said.keys, said.values):
            assert [part.shape for part in parts] == [(2, 2, 12, 6)] * 3

    @pytest.mark.parametrize("causal", [True, False])
    def test_attention_and_values_make_the_next_state(self, causal):
        """The layer worked out from what it says of itself."""
        made = network(causal=causal)
        said = made(TOKENS)
        for number, layer in enumerate(made.layers):
            gathered = (said.attention[number] @ said.values[number]).transpose(1, 2).flatten(2)
            state = said.hidden[number] + layer.mix(gathered)
            state = state + layer.perceptron(layer.perceptron_norm(state))
            torch.testing.assert_close(state, said.hidden[number + 1])

    def test_an_encoder_sees_both_sides(self):
        made, changed = network(causal=False), TOKENS.clone()
        changed[:, 11] += 1
        assert not torch.allclose(made(TOKENS).logits[:, 0], made(changed).logits[:, 0])
        assert torch.allclose(network()(TOKENS).logits[:, 0], network()(changed).logits[:, 0])

    @pytest.mark.parametrize("name", ["text-encoder-teacher", "text-encoder-student"])
    def test_the_encoders_by_name_see_the_whole_text(self, name):
        assert not build(name, 20)(TOKENS).causal and build(name.replace("encoder-", ""), 20)(TOKENS).causal


class TestPadding:
    @pytest.mark.parametrize("causal", [True, False])
    def test_a_padded_text_is_the_same_text(self, causal):
        made, padded = network(causal=causal, padding=0), TOKENS.clone()
        padded[0, 7:] = 0
        said = made(padded)
        assert torch.equal(said.mask, padded != 0)
        torch.testing.assert_close(said.logits[0, :7], made(TOKENS[:1, :7]).logits[0])

    def test_padding_in_front_is_seen_by_nobody(self):
        made, padded = network(padding=0), TOKENS.clone()
        padded[:, :3] = 0
        other = network(padding=0)
        with torch.no_grad():
            other.tokens.weight[0] += 5
        one, two = (each(padded) for each in (made, other))
        torch.testing.assert_close(one.hidden[-1][:, 3:], two.hidden[-1][:, 3:])
        assert one.logits.isfinite().all()

    def test_attention_leaves_padding_out(self):
        padded = TOKENS.clone()
        padded[0, 7:] = 0
        attention = network(causal=False, padding=0)(padded).attention[1]
        assert attention[0, :, :, 7:].eq(0).all()
        torch.testing.assert_close(attention.sum(3), torch.ones(2, 2, 12, dtype=torch.float64))

    def test_nothing_but_padding_stays_finite(self):
        made = network(causal=False, padding=0)
        made(torch.zeros(2, 5, dtype=torch.long)).logits.sum().backward()
        assert all(parameter.grad.isfinite().all() for parameter in made.parameters() if parameter.grad is not None)


class TestReadOn:
    def test_expects_what_it_expects_reading_everything_again(self):
        made = network()
        whole = made(TOKENS).logits
        scores, memory = made.read_on(TOKENS[:, :4])
        torch.testing.assert_close(scores, whole[:, 3])
        for place in range(4, 12):
            scores, memory = made.read_on(TOKENS[:, place : place + 1], memory)
            torch.testing.assert_close(scores, whole[:, place])
            assert memory.length == place + 1

    def test_rows_can_be_taken_in_another_order(self):
        made = network()
        _, memory = made.read_on(TOKENS[:, :4])
        rows = torch.tensor([1, 1, 0])
        scores, _ = made.read_on(TOKENS[rows, 4:5], memory.select(rows))
        torch.testing.assert_close(scores, made(TOKENS[rows, :5]).logits[:, -1])

    def test_keeps_no_graph(self):
        scores, memory = network().read_on(TOKENS)
        assert not scores.requires_grad and not memory.layers[0].keys.requires_grad

    @pytest.mark.parametrize("settings", [{"causal": False}, {"padding": 0}])
    def test_only_causal_networks_without_padding_can(self, settings):
        with pytest.raises(Refusal, match="only a causal network without padding reads on"):
            network(**settings).read_on(TOKENS)

    def test_reads_one_token_at_a_time(self):
        made = network()
        _, memory = made.read_on(TOKENS[:, :4])
        with pytest.raises(ValueError, match="tokens must be one for each sequence once something was read, got 2"):
            made.read_on(TOKENS[:, 4:6], memory)

    def test_the_longest_text_is_known_here_too(self):
        made = network(length=4)
        _, memory = made.read_on(TOKENS[:, :4])
        with pytest.raises(ValueError, match=r"\(batch, at most 4\), got \(2, 5\)"):
            made.read_on(TOKENS[:, 4:5], memory)
