"""The surveys' tables: every row resolves and is sourced, and what it costs its student is the same in every row."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from kdcore import survey
from kdcore.engine import Run, fit
from kdcore.experiments import get, table_columns, tables
from kdcore.experiments.inputs import Inputs
from kdcore.experiments.requests import Request, Wanted
from kdcore.experiments.running import run
from kdcore.experiments.store import Store
from kdcore.experiments.types import TRAINING

EQUAL = ("si2023-table1", "zhao2026-table2")
STEPS, IMAGES = 12, 64  # of the profile `smoke`


def wanted(table: str, profile: str = "smoke") -> dict[str, Wanted]:
    request = Request.of(get(table), profile)
    return {row.key: request.run(row, 0) for row in request.rows}


def first_layer(network: nn.Module) -> nn.Module:
    return next(module for module in network.modules() if module._parameters)


@contextmanager
def counted(of: Run) -> Iterator[Counter[str]]:
    """What goes through the first layer of the ranked network, and how often an optimiser moves it."""
    seen: Counter[str] = Counter()
    layer = first_layer(next(iter(of.scheme.delivers().values())))
    own = {id(parameter) for parameter in layer.parameters()}

    def asked(module: nn.Module, inputs: object, maps: torch.Tensor) -> None:
        if maps.requires_grad:
            seen["forward"] += len(maps)
            maps.register_hook(lambda slope: seen.update(backward=len(slope)))
        else:
            seen["without a graph"] += len(maps)

    def stepped(optimizer: torch.optim.Optimizer, *_: object) -> None:
        moved = (p for group in optimizer.param_groups for p in group["params"] if p.grad is not None)
        seen["steps"] += any(id(parameter) in own for parameter in moved)

    handles = [layer.register_forward_hook(asked), register_optimizer_step_post_hook(stepped)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@cache
def costs(table: str) -> dict[str, Counter[str]]:
    """Of every row that trains, by the engine itself; teachers that nobody trained will do."""
    request, found = Request.of(get(table), "smoke"), {}
    inputs = Inputs(request, Store())
    for key, one in wanted(table).items():
        if one.row.measure == TRAINING:
            made = one.measure()(**one.arguments(), **inputs.for_rehearsal(one))
            with counted(made.run) as seen:
                fit([made.run])
            assert made.run.failed is None, made.run.failed
            found[key] = seen
    return found


class TestEqualBudget:
    @pytest.mark.parametrize("table", EQUAL)
    def test_the_delivered_student_takes_the_same_steps_and_images_in_every_row(self, table):
        found = costs(table)
        plain = {"steps": STEPS, "forward": STEPS * IMAGES, "backward": STEPS * IMAGES}
        others = {
            "crld": {**plain, "steps": STEPS // 2},  # two views a step
            "crld-all-steps": {"steps": STEPS, "forward": 2 * STEPS * IMAGES, "backward": 2 * STEPS * IMAGES},
        }
        for key, seen in found.items():
            expected = others.get(key, plain)
            assert {name: seen[name] for name in plain} == expected, key
        assert len(found) >= 13

    def test_only_mutual_learning_asks_its_student_for_answers_to_others_beside(self):
        beside = {key: seen["without a graph"] for key, seen in costs("si2023-table1").items()}
        assert {key: images for key, images in beside.items() if images} == {"dml": 2 * STEPS * IMAGES}

    def test_preparation_is_beside_the_epochs_where_rows_are_run_as_published(self):
        for table, rows in (("si2023-table1", ("fitnet", "fsp", "amtml-kd")), ("zhao2026-table2", ("fitnet",))):
            equal, published = wanted(table), wanted(f"{table}-published")
            for row in rows:
                assert equal[row].settings["budget"] == "student"
                rest = {name: value for name, value in equal[row].settings.items() if name != "budget"}
                assert published[row].settings == rest


class TestRows:
    def test_table_1_has_all_sixteen_rows_and_their_readings(self):
        keys = {row.key for row in get("si2023-table1").rows}
        block = next(block for block in survey.published() if block["id"] == "si2023-table1")
        assert {"teacher", "student", *block["values"]} <= keys and len(block["values"]) == 14
        readings = {"afd-attention-matching", "fitnet-joint", "okddip-networks"}
        assert keys - {"teacher", "student", *block["values"]} == readings

    def test_table_2_has_nine_methods_and_two_baselines_and_their_readings(self):
        keys = {row.key for row in get("zhao2026-table2").rows}
        nine = {"fitnet-joint", "kd", "at", "sp", "crd", "dkd", "dkd-logit-std", "normkd", "crld"}
        assert keys - nine == {"teacher", "student", "fitnet", "normkd-dkd", "crld-all-steps"} and nine < keys

    @pytest.mark.parametrize("table", EQUAL)
    def test_every_printed_number_stands_in_some_row_and_nowhere_else(self, table):
        block = next(block for block in survey.published() if block["id"] == table)
        expected = {*block["values"].values(), block["teacher"]["accuracy"], block["student"]["accuracy"]}
        found = {round(100 * row.published["accuracy"]["value"], 2) for row in get(table).rows if row.published}
        assert found == expected

    @pytest.mark.parametrize("experiment", (*tables.EXPERIMENTS, *table_columns.EXPERIMENTS), ids=lambda one: one.key)
    def test_every_row_says_where_it_comes_from_and_every_number_how_it_was_made(self, experiment):
        assert all(row.source for row in experiment.rows)
        for row in experiment.rows:
            for said in row.published.values():
                assert said["citation"] in ("si2023", "zhao2026") and said["protocol"]
                assert said["selection"] in ("last", "best", "unknown")

    def test_what_was_copied_of_the_last_and_of_the_best_epoch_is_told_apart(self):
        said = {row.key: row.published["accuracy"]["selection"] for row in get("zhao2026-table2").rows if row.published}
        best = {"dkd", "dkd-logit-std", "normkd", "normkd-dkd", "crld", "crld-all-steps"}
        assert {key for key, word in said.items() if word == "best"} == best
        assert {word for key, word in said.items() if key not in best} == {"last"}

    def test_open_questions_stand_beside_their_rows(self):
        for key in ("one", "okddip", "amtml-kd"):
            assert "not say" in get("si2023-table1").row(key).source


class TestColumns:
    @pytest.mark.parametrize("table", EQUAL)
    def test_rows_that_do_not_differ_are_the_same_runs(self, table):
        """Their settings and recipes are equal, so their hashes are, and the store shares them."""
        equal, published = wanted(table, "paper"), wanted(f"{table}-published", "paper")
        same = {key for key, one in published.items() if key in equal and made_of(one) == made_of(equal[key])}
        differ = {
            "si2023-table1": {"takd", "fitnet", "at", "fsp", "irg", "one", "okddip", "okddip-networks", "amtml-kd"},
            "zhao2026-table2": {"fitnet", "crld"},
        }[table]
        assert set(published) - same == differ

    def test_as_published_a_row_has_its_authors_recipe_at_the_tables_own_size_alone(self):
        paper, short = (wanted("si2023-table1-published", profile) for profile in ("paper", "short"))
        recipe = paper["okddip"].recipe
        assert (recipe.epochs, recipe.batch_size, recipe.nesterov, recipe.weight_decay) == (300, 128, True, 5e-4)
        assert paper["okddip"].settings["scheme"] == "okddip-released" and short["okddip"].recipe.epochs == 5
        assert recipe.rate(0.49) == 0.1 and recipe.rate(0.5) == pytest.approx(0.01)

    def test_the_table_has_shortcuts_of_convolutions_and_the_teacher_of_seed_0(self):
        runs = wanted("si2023-table1", "paper")
        assert runs["takd"].settings["assistants"] == ["resnet32"] and runs["kd"].settings["student"] == "resnet20"
        teacher = {"experiment": "cifar10-teacher", "row": "teacher", "seed": 0}
        assert runs["kd"].settings["teacher"] == teacher
        assert runs["amtml-kd"].settings["others"] == [{**teacher, "seed": seed} for seed in (1, 2)]
        made = get("cifar10-teacher")
        assert made.settings(made.rows[0], "paper")["student"] == "resnet56" and made.seeds == (0, 1, 2)
        assert all(get(key).rows[0].half for key in ("cifar10-teacher", "cifar100-teacher"))

    def test_at_short_teachers_are_public_and_named_so(self):
        settings = wanted("si2023-table1", "short")["amtml-kd"].settings
        assert settings["teacher"] == {"checkpoint": "resnet56-a-cifar10"}
        assert [one["checkpoint"] for one in settings["others"]] == ["resnet32-a-cifar10", "resnet20-a-cifar10"]
        assert "public" in get("si2023-table1").row("amtml-kd").source

    @pytest.mark.parametrize("table", EQUAL)
    def test_compressed_is_the_same_rows_in_a_third_of_the_epochs(self, table):
        whole, shorter = wanted(table, "paper"), wanted(f"{table}-compressed", "paper")
        assert list(whole) == list(shorter)
        for key, one in shorter.items():
            assert one.recipe.epochs == pytest.approx(whole[key].recipe.epochs / 3)
            assert one.settings == whole[key].settings
        about = get(f"{table}-compressed")
        assert "not calibrated" in about.title and "not calibrated" in about.cost["paper"]


def made_of(one: Wanted) -> tuple[dict, object]:
    return one.settings, one.recipe


@pytest.mark.slow
class TestTraining:
    @pytest.mark.parametrize("table", EQUAL)
    def test_every_row_trains_at_smoke(self, table, taught, own_store):
        shutil.copytree(taught, own_store)
        records = run(table, "smoke", seeds=[0])
        assert [record["row"] for record in records] == [row.key for row in get(table).rows]
        assert all(record["status"] == "done" and 0 <= record["last"]["accuracy"] <= 1 for record in records)
        if table == "si2023-table1":
            roles = {record["row"]: set(record["networks"]) for record in records if "networks" in record}
            assert roles["takd"] == {"student", "assistant0"}
            assert roles["okddip"] == {"leader", "peer0", "peer1", "ensemble"}
            assert roles["one"] == {"branch0", "branch1", "branch2", "ensemble"}
