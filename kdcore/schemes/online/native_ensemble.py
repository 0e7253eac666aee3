"""One network with several branches, whose gated ensemble is the teacher of each."""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore._typing import Float
from kdcore.losses._common import at_least_float32, refuse_other, refuse_out_of_range
from kdcore.losses.response.distillation import kd_loss
from kdcore.randomness import seeded
from kdcore.schemes.online._branches import Branches, BranchOutputs, ramp
from kdcore.types import Batch, Entry, Outputs, Refusal, Scheme, Stage, Term, Update, take


class Gate(nn.Module):
    """How much each branch counts for an image: a layer on the mean of the shared map, batch norm, ReLU, softmax.

    Args:
        channels: of the shared map.
        branches: how many weights.
    """

    def __init__(self, channels: int, branches: int):
        super().__init__()
        self.control, self.norm = nn.Linear(channels, branches), nn.BatchNorm1d(branches)

    def forward(self, shared: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch branches"]:
        return at_least_float32(F.relu(self.norm(self.control(shared.mean((2, 3)))))).softmax(1)


class Gated(nn.Module):
    """The ensemble of all branches: the sum of their logits, each times its weight for the image."""

    def __init__(self, branches: Branches, gate: Gate | None):
        super().__init__()
        self.branches, self.gate = branches, gate

    def forward(self, images: Tensor) -> Outputs:
        return Outputs(self.of(self.branches(images)))

    def of(self, said: BranchOutputs) -> Tensor:
        """From what the branches have said; without a gate all count alike."""
        if self.gate is None:
            return said.logits
        weights = self.gate(said.shared)
        return (weights[:, :, None] * torch.stack(said.each, 1)).sum(1)


class ONE(Scheme):
    r"""Branches on shared lower layers learn the labels and their own gated ensemble, which learns the labels too.

    .. math::
        z_e = \sum_i g_i z_i, \qquad
        L = \sum_i \mathrm{CE}(z_i, y) + \mathrm{CE}(z_e, y) + w \tau^2 \sum_i \mathrm{KL}(p_e^\tau \,\|\, p_i^\tau)

    Survey: si2023 section 2.3.1 and Table 1, with three students.
    Paper: {cite:t}`lan2018one`; with ``gate="constant"``, ``own=False``, ``ensemble_task=False`` and
    ``rescaled=True`` it is {cite:t}`song2018collaborative` (CL-ILR) as the code of OKDDip has it: each branch learns
    the plain mean of the other branches, and the gradient into the shared layers is divided by their number.

    One optimiser moves everything. The ensemble is a constant in each branch's divergence. It delivers every branch
    with the layers that all share, the first of which is ranked, and their ensemble.

    Args:
        students: two or more networks of one architecture; the lower layers of all are the first one's.
        sample: a few inputs, from which sizes are read.
        cut: number of shared stages. Default: all but the last, as in both codes.
        gate: ``learned`` or ``constant``. Default ``learned``.
        own: whether a branch's own logits are part of what it learns; only ``constant`` can leave them out.
        ensemble_task: whether the ensemble learns the labels.
        rescaled: divide the gradient into the shared layers by the number of branches.
        temperature: above 0. Default 3: both codes.
        rampup: share of the training in which w rises from exp(-5) to 1. Default 80 / 300: both codes' 80 epochs.
        weight: w after the rise, at least 0. Default 1: both codes.

    Raises:
        Refusal: networks that cannot be cut, or a number out of its range.

    Notes:
        w rises with every step, in both codes with every epoch. The authors' code adds 1e-7 to the ensemble's
        probabilities; OKDDip's leaves the ensemble attached in the divergence.
    """

    def __init__(
        self,
        *students: nn.Module,
        sample: Tensor,
        cut: int | None = None,
        gate: Literal["learned", "constant"] = "learned",
        own: bool = True,
        ensemble_task: bool = True,
        rescaled: bool = False,
        temperature: float = 3.0,
        rampup: float = 80 / 300,
        weight: float = 1.0,
    ):
        super().__init__()
        refuse_out_of_range(above_zero={"temperature": temperature}, rampup=rampup, weight=weight)
        refuse_other("gate", gate, "learned", "constant")
        if not own and gate == "learned":
            raise Refusal("a learned gate weighs all branches, so own=False needs gate='constant'")
        branches = Branches(*students, sample=sample, cut=cut, rescaled=rescaled)
        self.students = branches.networks
        self.gate = Gate(branches.channels, len(students)) if gate == "learned" else None
        self.asked = (Gated(branches, self.gate),)
        self.own, self.ensemble_task, self.temperature = own, ensemble_task, temperature
        self.rise, self.weight = ramp(rampup), weight

    @classmethod
    def build(cls, bench: Any, *, branches: int = 3, **settings: Any) -> Self:
        """From a bench: so many networks of the row's student, the first from its own initial weights."""
        roles = ["student", *(f"branch{number}" for number in range(1, branches))]
        networks, sample = [bench.network(role) for role in roles], take(bench.data.inputs, slice(0, 2))
        make = lambda: cls(*networks, sample=sample, **settings)
        return seeded(make, bench.seed, "init", "one").to(bench.data.device)

    def stages(self) -> list[Stage]:
        learning = [self.students, *([] if self.gate is None else [self.gate])]
        return [Stage("main", [Update("branches", learning, self._terms)])]

    def _terms(self, batch: Batch) -> dict[str, Term]:
        (ensemble,) = self.asked
        said = batch.outputs(ensemble.branches)
        together = ensemble.of(said)
        terms = {}
        if self.ensemble_task:
            terms["ensemble_task"] = Term(batch.task.loss(Outputs(together), batch))
        for me, logits in enumerate(said.each):
            terms[f"task{me}"] = Term(batch.task.loss(Outputs(logits), batch))
            target = together if self.own else self._others(me, said)
            terms[f"mimicry{me}"] = Term(kd_loss(logits, target, temperature=self.temperature), self._weight_at)
        return terms

    def _others(self, me: int, said: BranchOutputs) -> Tensor:
        """The plain mean of all branches but one."""
        return torch.stack([logits for number, logits in enumerate(said.each) if number != me]).mean(0)

    def _weight_at(self, progress: float) -> float:
        return self.weight * self.rise(progress)

    def delivers(self) -> dict[str, nn.Module]:
        each = {f"branch{number}": network for number, network in enumerate(self.students)}
        return {**each, "ensemble": self.asked[0]}


ENTRIES = (
    Entry("one", "scheme", ONE, {}, "NeurIPS 2018"),
    Entry(
        "cl-ilr",
        "scheme",
        ONE,
        {"gate": "constant", "own": False, "ensemble_task": False, "rescaled": True},
        "NeurIPS 2018, collaborative learning: the constant gate",
    ),
)
