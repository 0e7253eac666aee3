"""CIFAR-10 with a public teacher: the first comparison that any machine can repeat in full."""

from __future__ import annotations

from kdcore.experiments.profiles import PAPER10, SHORT, SMOKE
from kdcore.experiments.types import Experiment, Row

FIRST = Experiment(
    "cifar10-first",
    "CIFAR-10, the public ResNet-56 to ResNet-20",
    rows=(
        Row("student", settings={"teacher": None}, source="labels alone"),
        Row("kd", settings={"methods": [["kd", {}]]}, source="0.9 beside 0.1, T = 4: RepDistiller"),
        Row(
            "dkd",
            settings={"methods": [["dkd", {"beta": 2.0}]]},
            source="alpha 1, beta 2: the paper's for ResNet56 to ResNet20",
        ),
        Row("at", settings={"methods": [["at", {}]]}, source="weight 1000, the authors' and RepDistiller's"),
    ),
    seeds=(0, 1),
    profiles={"smoke": SMOKE, "short": SHORT, "paper": PAPER10},
    chapter="response",
)

EXPERIMENTS = (FIRST,)
