"""Two forerunners on data of their own: an ensemble compressed on a table, and structure compiled on sequences."""

from __future__ import annotations

from torch import nn

from kdcore.engine import Run, prepare
from kdcore.experiments.bench import Bench
from kdcore.experiments.training import finish
from kdcore.experiments.types import Training, unknown
from kdcore.randomness import seeded
from kdcore.recipe import Recipe
from kdcore.schemes.offline import Distillation
from kdcore.schemes.offline.compression import ModelCompression, Perceptron, table
from kdcore.schemes.offline.structure import ChainCRF, StructureCompilation, WindowLogistic, hidden_chain
from kdcore.schemes.offline.structure.sequences import LABELS, WORDS
from kdcore.types import Data, Scheme


def on_table(
    *,
    seed: int,
    profile: str,
    recipe: Recipe,
    device: str,
    table_name: str,
    scheme: str = "distillation",
    members: int = 3,
    hidden: int = 8,
    member_hidden: int = 64,
    copies: int = 10,
) -> Training:
    """A small perceptron on a table, from the labels or from an ensemble of larger ones.

    Args:
        table_name: see `kdcore.schemes.offline.compression.table`.
        scheme: ``distillation`` (the labels alone) or ``model-compression``.
        members: networks of the ensemble.
        hidden: hidden units of the student.
        member_hidden: hidden units of a member.
        copies: synthetic samples for each real one.
    """
    prepare(recipe, device)
    data = table(table_name, device)

    def network(role: str, size: int) -> nn.Module:
        made = seeded(lambda: Perceptron(data.inputs.shape[1], data.classes, hidden=size), seed, "init", role)
        return made.to(device)

    student = network("student", hidden)
    match scheme:
        case "distillation":
            return _training(Distillation(student), data, recipe, seed)
        case "model-compression":
            ensemble = (network(f"member{number}", member_hidden) for number in range(members))
            compressed = ModelCompression(student, *ensemble, data=data, seed=seed, copies=copies)
            return _training(compressed, data, recipe, seed)
    raise unknown("scheme on a table", scheme, ["distillation", "model-compression"])


def on_sequences(
    *,
    seed: int,
    profile: str,
    recipe: Recipe,
    device: str,
    scheme: str = "distillation",
    labeller: str = "window",
    labelled: int = 30,
    unlabelled: int = 2000,
    tested: int = 500,
) -> Training:
    """A labeller of a hidden chain's sequences, drawn anew for every seed.

    Args:
        scheme: ``distillation`` (the labelled sequences alone) or ``structure-compilation``.
        labeller: ``window`` or ``chain``, of the first scheme.
        labelled: sequences with labels.
        unlabelled: sequences without.
        tested: sequences that judge.
    """
    prepare(recipe, device)
    data = hidden_chain(labelled, unlabelled, tested, seed=seed, device=device)
    chain, window = ChainCRF(WORDS, LABELS).to(device), WindowLogistic(WORDS, LABELS).to(device)
    match scheme, labeller:
        case "structure-compilation", "window":
            return _training(StructureCompilation(chain, window, data), data, recipe, seed)
        case "distillation", "window":
            return _training(Distillation(window), data, recipe, seed)
        case "distillation", "chain":
            return _training(Distillation(chain), data, recipe, seed)
    raise unknown("scheme on sequences", f"{scheme} of a {labeller}", ["distillation", "structure-compilation"])


def _training(scheme: Scheme, data: Data, recipe: Recipe, seed: int) -> Training:
    bench = Bench(data, "", None, recipe, seed)
    return Training(Run(f"seed {seed}", scheme, data, recipe, seed), lambda run: finish(run, bench))
