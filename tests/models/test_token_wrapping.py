"""Other people's transformers through the same wrapper: what is heard is what they work with."""

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from kdcore.losses.transformer.attention_maps import AttentionMaps
from kdcore.losses.transformer.mimicking import ViTKD
from kdcore.models import build, wrap
from kdcore.tokens import TokenOutputs
from kdcore.types import Outputs, Refusal, Setting

BLOCKS = [f"encoder.layers.encoder_layer_{number}" for number in range(2)]
HEARD = {
    "hidden": [f"{BLOCKS[0]}:input", *BLOCKS],
    "tokens": "encoder.ln",
    "attention": [f"{block}.self_attention" for block in BLOCKS],
    "embedding": "heads:input",
}


@pytest.fixture(scope="module")
def foreign() -> VisionTransformer:
    torch.manual_seed(0)
    network = VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=3, hidden_dim=12, mlp_dim=24, num_classes=10
    )
    nn.init.normal_(network.heads.head.weight)  # torchvision starts it at zero
    return network.eval()


@pytest.fixture
def images() -> Tensor:
    return torch.sin(torch.arange(2 * 3 * 32 * 32.0)).view(2, 3, 32, 32).abs()


class Rows(nn.Module):
    """A self-attention that is told its queries, keys and values apart, or side by side, and likes another order."""

    def __init__(self, fused: bool):
        super().__init__()
        self.fused = fused
        if fused:
            self.all = nn.Linear(4, 12)
        else:
            self.query, self.key, self.value = (nn.Linear(4, 4) for _ in range(3))
        self.head = nn.Linear(4, 3)

    def forward(self, states: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        parts = self.all(states).chunk(3, -1) if self.fused else [f(states) for f in (self.query, self.key, self.value)]
        rows = [part.unflatten(2, (2, 2)).transpose(1, 2) for part in parts]
        mask = None if attention_mask is None else attention_mask.bool()[:, None, None]
        return self.head(nn.functional.scaled_dot_product_attention(*rows, attn_mask=mask).transpose(1, 2).flatten(2))


class TestTorchvision:
    def test_says_what_the_network_says_alone(self, foreign, images):
        said = wrap(foreign, grid=(4, 4), **HEARD)(images)
        assert isinstance(said, TokenOutputs) and said.special == 1
        torch.testing.assert_close(said.logits, foreign(images))
        torch.testing.assert_close(foreign.heads(said.embedding), said.logits)
        assert torch.equal(said.tokens[:, 0], said.embedding)

    def test_states_follow_from_one_another(self, foreign, images):
        said = wrap(foreign, grid=(4, 4), **HEARD)(images)
        torch.testing.assert_close(foreign.encoder.layers.encoder_layer_1(said.hidden[1]), said.hidden[2])
        torch.testing.assert_close(foreign.encoder.ln(said.hidden[2]), said.tokens)

    @pytest.mark.parametrize("number", [0, 1])
    def test_attention_is_the_one_that_torch_reports(self, foreign, images, number):
        said = wrap(foreign, grid=(4, 4), **HEARD)(images)
        block = getattr(foreign.encoder.layers, f"encoder_layer_{number}")
        read = block.ln_1(said.hidden[number])
        _, told = block.self_attention(read, read, read, average_attn_weights=False)
        torch.testing.assert_close(said.attention[number], told)

    def test_gradients_flow_through_its_attention(self, foreign, images):
        wrap(foreign, grid=(4, 4), **HEARD)(images).attention[1].square().sum().backward()
        block = foreign.encoder.layers.encoder_layer_1
        assert block.self_attention.in_proj_weight.grad is not None and foreign.encoder.ln.weight.grad is None
        foreign.zero_grad()

    @pytest.mark.parametrize("method", [AttentionMaps, ViTKD])
    def test_teaches_one_of_ours(self, foreign, images, method):
        teacher = wrap(foreign, grid=(4, 4), normalise="cifar10", **HEARD)
        answers = [network(images) for network in (build("deit-micro-32", 10).eval(), teacher)]
        made = method.build(Setting(*answers, 10, 100, teacher))
        assert made.grid == (4, 4) and made.pairs[-1][1] == 2

    def test_without_its_parts_it_is_a_network_like_any_other(self, foreign, images):
        said = wrap(foreign, layers=BLOCKS)(images)
        assert type(said) is Outputs and said.features[0].shape == (2, 17, 12)


class TestNamedParts:
    @pytest.mark.parametrize(("fused", "attention"), [(False, ("query", "key", "value")), (True, "all")])
    def test_heads_are_cut_as_the_network_cuts_them(self, fused, attention):
        torch.manual_seed(0)
        network, states = Rows(fused), torch.sin(torch.arange(2 * 5 * 4.0)).view(2, 5, 4)
        said = wrap(network, attention=[attention], heads=2)(states)
        mixed = (said.attention[0] @ said.values[0]).transpose(1, 2).flatten(2)
        torch.testing.assert_close(network.head(mixed), said.logits)

    def test_the_mask_of_the_inputs_is_kept(self):
        inputs = {"states": torch.ones(2, 5, 4), "attention_mask": torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])}
        said = wrap(Rows(True), attention=["all"], heads=2)(inputs)
        assert said.mask.dtype == torch.bool and (said.attention[0][0, :, :, 3:] == 0).all()

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"attention": ["all"]}, "heads must say how many there are, since 'all' does not tell"),
            ({"attention": [("all", "all")], "heads": 2}, "queries, keys and values are three layers, got 2 names"),
            ({"attention": ["al"], "heads": 2}, "no layer is called 'al', the nearest name is 'all'"),
            ({"hidden": ["none"]}, "no layer is called 'none'"),
        ],
    )
    def test_what_cannot_be_heard_is_refused(self, settings, says):
        with pytest.raises(Refusal, match=says):
            wrap(Rows(True), **settings)

    def test_an_attention_that_adds_to_its_input_is_refused(self):
        network = nn.Sequential(nn.MultiheadAttention(4, 2, add_bias_kv=True))
        with pytest.raises(Refusal, match="attention '0' must project one input"):
            wrap(network, attention=["0"])
