"""How both sides are called: our functions on what is given, and each peer's on the same, in its own manner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from peers import Peer
from torch import Tensor, nn

import kdcore.losses
from kdcore.losses.contrastive._memory import Memory
from kdcore.losses.contrastive._scores import unit

SAMPLES, NEGATIVES, PROJECTION = 50_000, 16_384, 128  # of the contrastive losses: CIFAR's size, the authors' numbers


@dataclass
class Given:
    """What both sides are given at one size: the student's tensors get gradients."""

    student: Sequence[Tensor]
    teacher: Sequence[Tensor]
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def leaves(self) -> list[Tensor]:
        held = [*self.student, *self.teacher, *self.more.values()]
        return [tensor for tensor in held if isinstance(tensor, Tensor) and tensor.requires_grad]


Call = Callable[[Given], Callable[[], Tensor]]
PeerCall = Callable[[Peer, Given], Callable[[], Any]]

# ---------------------------------------------------------------- ours


def our(name: str, *more: str, **settings: Any) -> Call:
    """The function on the student's tensor and the teacher's, then on what is named of the rest."""

    def call(given: Given) -> Callable[[], Tensor]:
        loss, rest = getattr(kdcore.losses, name), [given.more[one] for one in more]
        return lambda: loss(*given.student, *given.teacher, *rest, **settings)

    return call


def each_stage(name: str, weights: Sequence[float] = (1, 1, 1), **settings: Any) -> Call:
    """The same stage by stage, weighed and summed."""

    def call(given: Given) -> Callable[[], Tensor]:
        loss, pairs = getattr(kdcore.losses, name), list(zip(weights, given.student, given.teacher))
        return lambda: sum(weight * loss(mine, theirs, **settings) for weight, mine, theirs in pairs)

    return call


def neighbours(name: str, **settings: Any) -> Call:
    """The same on each pair of neighbouring stages."""

    def call(given: Given) -> Callable[[], Tensor]:
        loss, (s, t) = getattr(kdcore.losses, name), (given.student, given.teacher)
        return lambda: sum(loss(s[n], s[n + 1], t[n], t[n + 1], **settings) for n in range(len(s) - 1))

    return call


def our_memory(given: Given) -> Callable[[], Tensor]:
    """A step with its banks: scores, constants, and what the batch leaves behind for the next one."""
    memory = Memory(SAMPLES, PROJECTION, momentum=0.5).to(given.more["own"].device)
    memory.students, memory.teachers = given.more["students"].clone(), given.more["teachers"].clone()
    (student,), (teacher,) = given.student, given.teacher
    own, others = given.more["own"], given.more["others"]
    normalisers = _first_normalisers(given)

    def step() -> Tensor:
        index = own[:]  # another object: a new batch
        memory.turn_to(index)
        mine, theirs = unit(student), unit(teacher)
        options = {"log_normalisers": normalisers, "epsilon": 1e-7}
        value = kdcore.losses.crd_loss(mine, theirs, memory.students, memory.teachers, index, others, **options)
        memory.remember(index, mine, theirs)
        return value

    return step


@torch.no_grad()
def _first_normalisers(given: Given) -> list[float]:
    found = []
    rows = torch.cat([given.more["own"][:, None], given.more["others"]], 1)
    for vectors, bank in ((given.student[0], "teachers"), (given.teacher[0], "students")):
        scores = (F.normalize(vectors) @ given.more[bank].T / 0.07).gather(1, rows)
        found.append((scores.exp().mean() * SAMPLES).log().item())
    return found


# ---------------------------------------------------------------- the peers'


def total(value: Any) -> Tensor:
    return sum(value) if isinstance(value, list | tuple) else value


def one(given: Given) -> list[Any]:
    """The student's tensor and the teacher's."""
    return [given.student[0], given.teacher[0]]


def lists(given: Given) -> list[Any]:
    """A list of the student's tensors and one of the teacher's."""
    return [list(given.student), list(given.teacher)]


def labelled(given: Given) -> list[Any]:
    return [*one(given), given.more["labels"]]


def made(dotted: str, name: str, *settings: Any, how: Callable[[Given], list[Any]] = one, **named: Any) -> PeerCall:
    """A criterion of a peer, made and then called."""

    def call(peer: Peer, given: Given) -> Callable[[], Any]:
        criterion, arguments = getattr(peer.module(dotted), name)(*settings, **named), how(given)
        if hasattr(criterion, "regressor"):  # heads are the same for everyone and left out
            criterion.regressor = nn.Identity()
        return lambda: total(criterion(*arguments))

    return call


def called(dotted: str, name: str, *settings: Any, how: Callable[[Given], list[Any]] = one, **named: Any) -> PeerCall:
    """A plain function of a peer."""

    def call(peer: Peer, given: Given) -> Callable[[], Any]:
        function, arguments = getattr(peer.module(dotted), name), how(given)
        return lambda: total(function(*arguments, *settings, **named))

    return call


def stage_by_stage(dotted: str, name: str, *settings: Any) -> PeerCall:
    """A criterion for one stage, summed over stages."""

    def call(peer: Peer, given: Given) -> Callable[[], Any]:
        criterion, pairs = getattr(peer.module(dotted), name)(*settings), list(zip(given.student, given.teacher))
        return lambda: sum(criterion(*pair) for pair in pairs)

    return call


def read(name: str, *paths: str, out: Callable[[Given], tuple[dict, dict]] | None = None, **named: Any) -> PeerCall:
    """A criterion of torchdistill, which reads what named modules were given and gave."""

    def call(peer: Peer, given: Given) -> Callable[[], Any]:
        criterion = getattr(peer.module("torchdistill.losses.mid_level"), name)(*paths, **named)
        student, teacher = out(given) if out else [{"m": {"input": x, "output": x}} for x in one(given)]
        return lambda: criterion(student, teacher)

    return call


def io_of_stages(given: Given) -> tuple[dict, dict]:
    student, teacher = ({str(n): {"output": x} for n, x in enumerate(side)} for side in (given.student, given.teacher))
    return student, teacher


def stage_pairs(weights: Sequence[float] = (1, 1, 1)) -> dict[str, Any]:
    at = lambda n: {"io": "output", "path": str(n)}
    return {str(n): {"student": at(n), "teacher": at(n), "weight": w} for n, w in enumerate(weights)}


def neighbouring_pairs() -> dict[str, Any]:
    at = lambda n: {"io": "output", "path": str(n)}
    ends = lambda who, n: {f"{who}_first": at(n), f"{who}_second": at(n + 1)}
    return {str(n): {**ends("student", n), **ends("teacher", n)} for n in range(2)}


def memory_of(dotted: str, criterion: str, banks: tuple[str, str], *, alias: bool = True) -> PeerCall:
    """A peer's banks and its criterion on both sides, given the same rows, banks and constants' first batch."""

    def call(peer: Peer, given: Given) -> Callable[[], Any]:
        module = peer.module(dotted)
        if alias:
            module.AliasMethod.cuda = lambda self: None  # the draws are given; its table need not move
        memory = module.ContrastMemory(PROJECTION, SAMPLES, NEGATIVES, 0.07, 0.5).to(given.more["own"].device)
        for name, bank in zip(banks, ("students", "teachers")):
            setattr(memory, name, given.more[bank].clone())
        loss = peer.module(criterion).ContrastLoss(SAMPLES)
        return _banked_step(memory, loss, given)

    return call


def _banked_step(memory: nn.Module, loss: nn.Module, given: Given) -> Callable[[], Tensor]:
    (student,), (teacher,), own = given.student, given.teacher, given.more["own"]
    rows = torch.cat([own[:, None], given.more["others"]], 1)

    def step() -> Tensor:
        sides = memory(F.normalize(student), F.normalize(teacher), own, rows)
        if hasattr(memory, "params"):
            memory.params = memory.params.detach()  # where the first batch leaves its graph
        return sum(loss(side).sum() for side in sides)

    return step


def read_banks(peer: Peer, given: Given) -> Callable[[], Any]:
    module, path = peer.module("torchdistill.losses.mid_level"), "m"
    criterion = module.CRDLoss(path, "e", path, PROJECTION, SAMPLES, NEGATIVES, SAMPLES).to(given.more["own"].device)
    criterion.memory_v1, criterion.memory_v2 = given.more["students"].clone(), given.more["teachers"].clone()
    (student,), (teacher,), own = given.student, given.teacher, given.more["own"]
    drawn = {"pos_idx": own, "contrast_idx": torch.cat([own[:, None], given.more["others"]], 1)}

    def step() -> Tensor:
        said = {path: {"output": F.normalize(student)}, "e": {"input": drawn}}
        value = criterion(said, {path: {"output": F.normalize(teacher)}})
        criterion.params = criterion.params.detach()
        return value.sum()

    return step


def in_graph(given: Given) -> list[Any]:
    """As KD-Zoo wants it: two maps, the embedding, the answer."""
    return [[side[1], side[2], side[3], side[0]] for side in (given.student, given.teacher)]


def regressed(given: Given) -> list[Any]:
    return [nn.Identity(), given.more["variance"], *one(given)]


def with_margins(given: Given) -> list[Any]:
    return [*one(given), torch.full((1, given.student[0].shape[1], 1, 1), -0.5, device=given.student[0].device)]


def our_margins(given: Given) -> Callable[[], Tensor]:
    margins = with_margins(given)[2].flatten()
    return lambda: kdcore.losses.ofd_loss(*one(given), margins)


def doubted(given: Given) -> tuple[dict, dict]:
    student = {"m": {"output": given.student[0]}, "var_estimator": {"output": given.more["doubt"]}}
    return student, {"m": {"output": given.teacher[0]}}


def neighbouring(dotted: str, name: str) -> PeerCall:
    """A criterion for one pair of neighbouring stages, summed over pairs."""

    def call(peer: Peer, given: Given) -> Callable[[], Any]:
        criterion, (s, t) = getattr(peer.module(dotted), name)(), (given.student, given.teacher)
        return lambda: sum(criterion(s[n], s[n + 1], t[n], t[n + 1]) for n in range(len(s) - 1))

    return call
