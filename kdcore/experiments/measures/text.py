"""What is measured of a student that writes, and what aligning hidden states costs at any depth."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from kdcore._typing import Float, Int
from kdcore.engine import Run
from kdcore.experiments import get
from kdcore.experiments.bench import raw_teacher
from kdcore.experiments.inputs import Inputs
from kdcore.experiments.requests import Request
from kdcore.experiments.store import Store
from kdcore.experiments.training import Trained
from kdcore.experiments.types import Training
from kdcore.losses.transformer.hidden_states import HiddenStateAlign, layer_pairs
from kdcore.models.transformer import Transformer
from kdcore.randomness import generator
from kdcore.recipe import Recipe
from kdcore.schemes.offline.decoding import sample, written
from kdcore.types import Batch, Clock, Data, Task

PROMPT, TEXTS = 16, 32  # characters given, and texts written from the start of as many windows of the test split


class Writing(Trained):
    """A row like others, judged also by what a reader thinks of the texts that its student writes.

    A setting ``reader`` names the network that reads them, whoever taught the student.
    """

    def __call__(self, *, reader: Mapping[str, Any], **settings: Any) -> Training:
        training = super().__call__(**settings)

        def finish(run: Any) -> dict[str, Any]:
            said = training.finish(run)
            network, test = next(iter(run.scheme.delivers().values())), run.data.splits["test"]
            read = reading(network, raw_teacher(reader, run.data.device), test, run.seed)
            return {**said, "last": {**said["last"], **read}}

        return Training(training.run, finish)

    def rehearse(self, *, reader: Mapping[str, Any], **settings: Any) -> None:
        super().rehearse(**settings)


writing = Writing()


def reading(network: nn.Module, reader: nn.Module, test: Data, seed: int) -> dict[str, float]:
    """Nats a token that a reader needs for what a network writes, drawn and by the likeliest token."""
    prompts, length = test.inputs[:TEXTS, :PROMPT], test.inputs.shape[1]
    random = generator(seed, "written", device=prompts.device)
    drawn = sample(network, prompts, length, random)
    likeliest = sample(network, prompts, length, random, temperature=0.0)
    return {"reader_nats": nats_of(reader, drawn), "reader_nats_greedy": nats_of(reader, likeliest)}


@torch.no_grad()
def nats_of(reader: nn.Module, texts: Int[Tensor, "batch length"]) -> float:
    """What a network needs on average for each token after the prompt."""
    logs = reader(texts[:, :-1]).logits.double().log_softmax(-1)
    needed = -logs.gather(2, texts[:, 1:, None])[:, :, 0]
    return needed[written(texts, PROMPT)].mean().item()


# ---------------------------------------------------------------- what a step costs


def step_arithmetic(experiment: str, row: str, profile: str = "smoke") -> float:
    """Multiplications and additions of a row's step, with fresh networks, averaged over its last stage.

    What a scheme does before its first step (a search for the teacher's texts) is left out, and so are the products
    inside a fused attention, for which the counter has no formula.
    """
    from torch.utils.flop_counter import FlopCounterMode

    request = Request.of(get(experiment), profile, methods=[row], seeds=[0])
    (wanted,) = request.runs()
    settings = Inputs(request, Store()).for_rehearsal(wanted)
    training: Run = wanted.measure()(**wanted.arguments(), **settings).run
    while training.at < len(training.stages) - 1 or not training.step:
        training.advance()
    steps = training.remaining
    counter = FlopCounterMode(display=False)
    with contextlib.redirect_stdout(io.StringIO()), counter:
        while training.active:
            training.advance()
    return counter.get_total_flops() / steps


# ---------------------------------------------------------------- what alignment costs


def alignment_cost(
    *,
    seed: int,
    profile: str,
    recipe: Recipe,
    device: str,
    depths: Sequence[int],
    student_width: int,
    teacher_width: int,
    every: Sequence[int],
    vocabulary: int = 100,
    length: int = 64,
    **pair: Any,
) -> dict[str, Any]:
    """One step of a pair of equal depth, counted on the meta device, without alignment and with several.

    Args:
        depths: layers of both networks.
        student_width: of its states.
        teacher_width: of the teacher's.
        every: each so manieth layer is aligned, counted from the last; one count for each.
        pair: the networks and data of the other rows, which are not asked.

    Returns:
        By alignment (``none``, ``every-1``, ...) and depth: ``arithmetic``, multiplications and additions of both
        networks' forward passes, the loss and the student's backward pass; ``kept``, numbers that are held for the
        backward pass, with the teacher's states that wait for their layer.
    """
    found: dict[str, Any] = {"arithmetic": {}, "kept": {}}
    for name, step in (("none", None), *((f"every-{number}", number) for number in every)):
        counts = [
            counted(depth, student_width, teacher_width, step, vocabulary, recipe.batch_size, length)
            for depth in depths
        ]
        for what, numbers in zip(found, zip(*counts)):
            found[what][name] = {str(depth): float(number) for depth, number in zip(depths, numbers)}
    return found


@cache
def counted(
    depth: int, student_width: int, teacher_width: int, every: int | None, vocabulary: int, size: int, length: int
) -> tuple[int, int]:
    """Arithmetic and kept numbers of one step; they depend on nothing else, so seeds share them."""
    from torch.utils.flop_counter import FlopCounterMode

    tokens = torch.zeros(size, length + 1, dtype=torch.long, device="meta")
    step = Step(depth, student_width, teacher_width, every, vocabulary)
    counter = FlopCounterMode(display=False)
    with contextlib.redirect_stdout(io.StringIO()), counter, kept(step.student, step.method) as held:
        step.loss(tokens).backward()
    return counter.get_total_flops(), sum(held.values()) + len(step.pairs) * size * length * teacher_width


class Step:
    """A teacher and a student of some depth, and the loss of one batch."""

    def __init__(self, depth: int, student_width: int, teacher_width: int, every: int | None, vocabulary: int):
        with torch.device("meta"):
            self.student, self.teacher = (
                Transformer(vocabulary, width=width, layers=depth, heads=4) for width in (student_width, teacher_width)
            )
            self.pairs = () if every is None else layer_pairs(depth, depth, every=every)
            self.method = HiddenStateAlign(student_width, teacher_width, self.pairs)

    def loss(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, ""]:
        data = Data(tokens[:, :-1], tokens[:, 1:], Task(), {})
        batch = Batch(data, torch.arange(len(tokens)), 0, Clock(0, 1, 1))
        student = self.student(tokens[:, :-1])
        with torch.no_grad():
            teacher = self.teacher(tokens[:, :-1])
        task = nn.functional.cross_entropy(student.logits.flatten(0, 1), tokens[:, 1:].flatten())
        return task + sum(term.value for term in self.method.losses(student, teacher, batch).values())


@contextlib.contextmanager
def kept(*modules: nn.Module) -> Iterator[dict[int, int]]:
    """How many numbers each storage holds that autograd keeps for the backward pass, these modules' own left out."""
    own = {_storage(parameter) for module in modules for parameter in module.parameters()}
    held: dict[int, int] = {}
    alive: list[Tensor] = []  # so that no identity is used twice

    def note(tensor: Tensor) -> Tensor:
        if (storage := _storage(tensor)) not in own | held.keys():
            alive.append(tensor)
            held[storage] = tensor.untyped_storage().nbytes() // tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield held


def _storage(tensor: Tensor) -> int:
    """The identity of what holds a tensor's numbers; tensors without numbers have one too."""
    return tensor.untyped_storage()._cdata
