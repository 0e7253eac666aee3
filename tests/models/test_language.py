"""A user's language model takes part by its answers and the names of its layers, and stays what it was."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from kdcore.engine import setting_of
from kdcore.losses.sequence.token_level import TokenLevelKD
from kdcore.losses.transformer.hidden_states import HiddenStateAlign
from kdcore.losses.transformer.minilm import MiniLM
from kdcore.models.language import PROJECTIONS, LanguageModel
from kdcore.tokens import TokenOutputs
from kdcore.types import Clock, Data, Refusal, Task

VOCABULARY, HEADS = 13, 2
TOKENS = 1 + torch.arange(14).view(2, 7) % (VOCABULARY - 1)


@dataclass
class Answer:
    logits: Tensor
    hidden_states: tuple[Tensor, ...]
    attentions: tuple[Tensor, ...]


class Attention(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, x: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
        split = lambda y: y.unflatten(2, (HEADS, -1)).transpose(1, 2)
        q, k, v = (split(part(x)) for part in (self.query, self.key, self.value))
        attention = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~allowed, -1e9).softmax(3)
        return (attention @ v).transpose(1, 2).flatten(2), attention


class StandIn(nn.Module):
    """Answers as the models of the library do: by name asked, by name answered."""

    def __init__(self, width: int = 8, layers: int = 2, causal: bool = True, config: bool = True):
        super().__init__()
        torch.manual_seed(width)
        self.embed, self.head = nn.Embedding(VOCABULARY, width), nn.Linear(width, VOCABULARY)
        self.layer = nn.ModuleList(Attention(width) for _ in range(layers))
        self.causal = causal
        if config:
            self.config = SimpleNamespace(model_type="stand-in", num_attention_heads=HEADS)

    def forward(self, *, input_ids, attention_mask=None, output_hidden_states=False, output_attentions=False) -> Answer:
        length = input_ids.shape[1]
        allowed = torch.ones(length, length, dtype=torch.bool)
        allowed = allowed.tril() if self.causal else allowed
        if attention_mask is not None:
            allowed = allowed & attention_mask[:, None, None].bool()
        states, attentions = [self.embed(input_ids)], []
        for layer in self.layer:
            more, attention = layer(states[-1], allowed)
            states.append(states[-1] + more)
            attentions.append(attention)
        return Answer(
            self.head(states[-1]),
            tuple(states) if output_hidden_states else (),
            tuple(attentions) if output_attentions else (),
        )


NAMED = [f"layer.{{}}.{part}" for part in ("query", "key", "value")]


def wrapped(**settings) -> LanguageModel:
    kind = {name: settings.pop(name) for name in ("width", "layers") if name in settings}
    return LanguageModel(StandIn(causal=settings.get("causal", True), **kind), **{"projections": NAMED} | settings)


class TestLanguageModel:
    def test_answers_as_our_own_networks_do(self):
        network = wrapped()
        said, plain = network(TOKENS), network.network(input_ids=TOKENS, output_hidden_states=True)
        assert isinstance(said, TokenOutputs) and said.causal and said.mask is None
        assert torch.equal(said.logits, plain.logits)
        assert all(torch.equal(a, b) for a, b in zip(said.hidden, plain.hidden_states, strict=True))
        assert [part.shape for part in said.queries] == [(2, HEADS, 7, 4)] * 2

    def test_queries_and_keys_give_the_attention_that_the_network_reports(self):
        heard, reported = wrapped()(TOKENS), wrapped(reported=True)(TOKENS)
        for ours, theirs in zip(heard.attention, reported.reported, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
        assert all(torch.equal(a, b) for a, b in zip(reported.attention, reported.reported))

    def test_one_layer_may_make_all_three(self):
        class Fused(nn.Module):
            def __init__(self, attention: Attention):
                super().__init__()
                self.parts = attention

            def forward(self, x: Tensor) -> Tensor:
                return torch.cat([self.parts.query(x), self.parts.key(x), self.parts.value(x)], -1)

        class Net(StandIn):
            def __init__(self):
                super().__init__()
                self.fused = nn.ModuleList(Fused(layer) for layer in self.layer)

            def forward(self, **asked) -> Answer:
                states = super().forward(**asked).hidden_states
                for number, fused in enumerate(self.fused):
                    fused(states[number])
                return super().forward(**asked)

        torch.manual_seed(8)
        one, three = LanguageModel(Net(), projections=["fused.{}"])(TOKENS), wrapped()(TOKENS)
        for name in ("queries", "keys", "values"):
            assert all(torch.equal(a, b) for a, b in zip(getattr(one, name), getattr(three, name), strict=True))

    def test_shared_keys_and_values_are_repeated_for_each_head(self):
        network = wrapped()
        for layer in network.network.layer:
            layer.value = nn.Linear(8, 4)  # one head for two
            layer.key = nn.Linear(8, 4)
        heard = {
            f"layer.0.{part}": torch.zeros(2, 7, width) for part, width in (("query", 8), ("key", 4), ("value", 4))
        }
        heard["layer.0.value"][:] = torch.arange(4.0)
        queries, keys, values = network._parts(0, heard)
        assert queries.shape == keys.shape == values.shape == (2, HEADS, 7, 4)
        assert torch.equal(values[:, 0], values[:, 1])

    def test_padding_reaches_the_network_and_the_mask(self):
        network, padded = wrapped(causal=False, padding=0), TOKENS.clone()
        padded[0, 4:] = 0
        said = network(padded)
        assert torch.equal(said.mask, padded != 0)
        torch.testing.assert_close(said.logits[0, :4], network(TOKENS[:1, :4]).logits[0])
        assert said.attention[0][0, :, :, 4:].eq(0).all()

    def test_the_network_is_not_edited(self):
        network = wrapped()
        before = network.state_dict().keys()
        network(TOKENS)
        assert not any(module._forward_hooks for module in network.modules())
        assert before == {f"network.{name}" for name in StandIn().state_dict()}

    def test_every_method_of_the_chapter_takes_it(self):
        student, teacher = wrapped(width=4), wrapped(width=8, layers=4).requires_grad_(False)
        views = {"weak": lambda x, random: x}
        data = Data(TOKENS[:, :-1], TOKENS[:, 1:], Task(), views, classes=VOCABULARY)
        batch, setting = data.batch(0, Clock(0, 1, 1), 2), setting_of(student, teacher, data)
        for method in (TokenLevelKD, HiddenStateAlign, MiniLM):
            terms = method.build(setting).losses(batch.outputs(student), batch.outputs(teacher), batch)
            sum(term.value for term in terms.values()).backward()
            batch.live.clear()
        assert all(layer.value.weight.grad is not None for layer in student.network.layer)

    def test_without_names_there_are_no_heads_and_methods_say_so(self):
        network = LanguageModel(StandIn())
        assert network(TOKENS).queries == () and len(network(TOKENS).hidden) == 3
        data = Data(TOKENS, TOKENS, Task(), {"weak": lambda x, random: x}, classes=VOCABULARY)
        with pytest.raises(Refusal, match="minilm needs queries, keys and values of the last layer, and the student"):
            MiniLM.build(setting_of(network, network, data))

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"projections": ["a.{}", "b.{}"]}, "projections must name one layer or three, got 2"),
            ({"projections": ["layers.{}.query"] * 3}, "no layer is called 'layers.0.query'"),
        ],
    )
    def test_wrong_names_are_answered_in_a_sentence(self, settings, says):
        with pytest.raises(Refusal, match=says):
            wrapped(**settings)(TOKENS)

    def test_heads_must_be_known(self):
        with pytest.raises(Refusal, match="heads must be named"):
            LanguageModel(StandIn(config=False), projections=NAMED)
        assert LanguageModel(StandIn(config=False), projections=NAMED, heads=2)(TOKENS).queries[0].shape[1] == 2

    def test_a_network_that_reports_no_attention_is_refused(self):
        class Silent(StandIn):
            def forward(self, **asked) -> Answer:
                return super().forward(**{**asked, "output_attentions": False})

        with pytest.raises(Refusal, match='load it with attn_implementation="eager"'):
            LanguageModel(Silent(), reported=True)(TOKENS)


@pytest.fixture
def transformers():
    """Makes tiny untrained models of the library, where it is installed."""
    library = pytest.importorskip("transformers", reason="the extra `transformers` is not installed")
    sizes = {"vocab_size": VOCABULARY, "attn_implementation": "eager"}
    shape = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    none = {"bos_token_id": None, "eos_token_id": None}
    own = {
        "gpt2": {"n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2, **none},
        "bert": {"max_position_embeddings": 16, **shape},
        "llama": {"max_position_embeddings": 16, "num_key_value_heads": 1, **shape, **none},
    }
    kinds = {"gpt2": ("GPT2", "LMHeadModel"), "bert": ("Bert", "ForMaskedLM"), "llama": ("Llama", "ForCausalLM")}

    def made(name: str) -> nn.Module:
        kind, head = kinds[name]
        config = getattr(library, f"{kind}Config")(**own[name], **sizes)
        return getattr(library, f"{kind}{head}")(config).eval()

    return made


class TestModelsOfTheLibrary:
    @pytest.mark.parametrize("name", ["gpt2", "bert"])
    def test_queries_and_keys_give_its_attention(self, transformers, name):
        network, causal = transformers(name), name != "bert"
        heard, reported = (LanguageModel(network, causal=causal, reported=asked)(TOKENS) for asked in (False, True))
        for ours, theirs in zip(heard.attention, reported.reported, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)

    @pytest.mark.parametrize("name", list(PROJECTIONS))
    def test_every_method_of_the_chapter_takes_it(self, transformers, name):
        student, teacher = (LanguageModel(transformers(name), reported=name == "llama") for _ in range(2))
        data = Data(TOKENS[:, :-1], TOKENS[:, 1:], Task(), {"weak": lambda x, random: x}, classes=VOCABULARY)
        batch, setting = data.batch(0, Clock(0, 1, 1), 2), setting_of(student, teacher, data)
        said = student(batch.inputs), teacher(batch.inputs)
        for method in (TokenLevelKD, HiddenStateAlign, MiniLM):
            terms = method.build(setting).losses(*said, batch)
            assert all(term.value.isfinite() and term.value > 0 for term in terms.values())

    def test_padding_is_left_out(self, transformers):
        network, padded = LanguageModel(transformers("bert"), causal=False, padding=0), TOKENS.clone()
        padded[0, 4:] = 0
        torch.testing.assert_close(network(padded).logits[0, :4], network(TOKENS[:1, :4]).logits[0])
