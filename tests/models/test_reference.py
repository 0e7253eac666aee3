"""The networks compute what the authors' do: weights and inputs from a closed formula, numbers from their code.

HobbitLong/RepDistiller b84f547, ``models.model_dict[name](num_classes=100)`` in float64 and eval mode, called with
``is_feat=True`` and then also ``preact=True``. Layers with weights are numbered in the order of ``modules()``.
"""

import math

import pytest
import torch
from torch import Tensor, nn

from kdcore.models import build

# logits' norm, one logit, norms of (stem, features, embedding), norms of the pre-activations
THEIRS = {
    "resnet20": (
        5.61056816827,
        0.420772715037,
        (131.463770251, 135.511957601, 150.29228347, 46.1640635252, 4.26700689062),
        (135.581362971, 151.765428812, 46.2327516969),
    ),
    "resnet8x4": (
        1.08150685301,
        0.00933706597849,
        (184.308211682, 333.430916071, 188.108659792, 23.8310904221, 2.69874375764),
        (470.867670145, 271.432735448, 30.8871922024),
    ),
    "wrn-16-1": (
        1.14725566254,
        -0.0209179849621,
        (176.694250304, 178.10402982, 170.173455446, 26.7588794282, 1.83223653262),
        (185.45806078, 173.926848181, 29.5272285364),
    ),
    "wrn-16-2": (
        1.42509734649,
        -0.0500392861345,
        (176.694250304, 455.646380856, 405.794901604, 91.7307491275, 4.97276371746),
        (470.511924432, 422.413523692, 95.945894136),
    ),
    "vgg8": (
        1.0020453655,
        -0.0738506078449,
        (261.244317004, 27.6894490293, 43.1557469706, 17.3190523727, 11.4306254265, 2.82727770022),
        (39.11747867, 61.3070118131, 24.4888716696, 16.164410051),
    ),
    "vgg13": (
        1.41417136245,
        0.0888380115577,
        (50.5782366891, 25.720691064, 16.0019275552, 11.4108307618, 11.2350851863, 2.80804582918),
        (34.7199025461, 22.5450629401, 16.0347743488, 15.9376034139),
    ),
    "mobilenetv2": (
        1.02050926493,
        -0.0829584244655,
        (65.7391850485, 14.9213533081, 10.0579316764, 11.3693180074, 9.23002335339, 8.29145506806),
        (14.9213533081, 10.0579316764, 11.3693180074, 9.23002335339),
    ),
    "shufflenetv1": (
        3.35857143194,
        -0.174295642063,
        (146.249794563, 222.152318298, 212.351317496, 127.887262999, 29.997792288),
        (226.0087965, 221.244864855, 132.086355518),
    ),
    "shufflenetv2": (
        1.05183958368,
        0.035926340258,
        (146.249794563, 136.988729817, 21.8050311295, 42.4544838911, 7.1269472924),
        (192.738371816, 22.8459117263, 43.0922075327),
    ),
}


def sines(*shape: int, speed: float) -> Tensor:
    return torch.sin(speed * torch.arange(math.prod(shape), dtype=torch.float64) + 1).view(shape)


@torch.no_grad()
def fill(network: nn.Module) -> None:
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
    for number, layer in enumerate(m for m in network.modules() if isinstance(m, kinds)):
        if isinstance(layer, nn.BatchNorm2d):
            size = layer.num_features
            layer.weight.copy_(1 + 0.2 * sines(size, speed=0.3 + number))
            layer.bias.copy_(0.1 * sines(size, speed=0.7 + number))
            layer.running_mean.copy_(0.1 * sines(size, speed=1.1 + number))
            layer.running_var.copy_(1 + 0.3 * sines(size, speed=1.3 + number))
        else:
            scale = (4 / layer.weight[0].numel()) ** 0.5
            layer.weight.copy_(sines(*layer.weight.shape, speed=0.9 + 0.01 * number) * scale)
            if layer.bias is not None:
                layer.bias.copy_(0.1 * sines(len(layer.bias), speed=0.5 + number))


@pytest.mark.parametrize("name", THEIRS)
def test_agrees_with_the_code_of_the_comparisons(name):
    network = build(name, 100).double().eval()
    fill(network)
    network.normalise = nn.Identity()
    with torch.no_grad():
        said = network(sines(2, 3, 32, 32, speed=0.37))
    norms = lambda values: tuple(value.norm().item() for value in values)
    found = (
        said.logits.norm().item(),
        said.logits[1, 7].item(),
        norms((said.stem, *said.features, said.embedding)),
        norms(said.preactivations),
    )
    for ours, theirs in zip(found, THEIRS[name], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-9)
