"""A wrong request is answered in at most three lines: what came, what was expected, the nearest valid name."""

from __future__ import annotations

import importlib
import shlex
import subprocess
import sys

import pytest

from kdcore.cli.answers import answered, columns
from kdcore.entry import Refusal

SMOKE = ("--profile", "smoke")
WRONG = [
    (("rnu",), "No such command 'rnu'", "run"),
    (("run",), "Missing argument", ""),
    (("run", "respnse"), "unknown experiment 'respnse', expected one of", "response"),
    (("run", "response", "--profile", "quik"), "unknown profile 'quik', expected one of smoke, quick", "quick"),
    (("run", "digits-teacher", "--profile", "short"), "digits-teacher has no profile 'short', it has smoke, quick", ""),
    (("run", "response", "--methods", "dkdd"), "unknown method in response 'dkdd', expected one of student, kd", "dkd"),
    (("run", "response", "--seeds", "one"), "seeds must be numbers like 0, 0,1,2 or 0-4, got 'one'", ""),
    (("run", "response", "--seeds", "3-1"), "seeds must be numbers like 0, 0,1,2 or 0-4, got '3-1'", ""),
    (("run", "response", *SMOKE, "--device", "cuda:9"), "device 'cuda:9' is not there, this machine has cpu", ""),
    (("run", "response", *SMOKE, "--device", "gpu"), "device 'gpu' is not there, this machine has cpu", ""),
    (("run", "response", *SMOKE, "--set", "kd.temperature=-1"), "temperature must be above 0, got -1", ""),
    (("run", "response", *SMOKE, "--set", "kd.temprature=2"), "unknown setting of kd 'temprature'", "temperature"),
    (("run", "response", *SMOKE, "--set", "kdd.temperature=2"), "unknown row in --set 'kdd'", "kd"),
    (("run", "response", *SMOKE, "--set", "temperature=2"), "--set expects ROW.OPTION=VALUE", ""),
    (("run", "response", *SMOKE, "--set", "recipe.epoch=2"), "unknown recipe option 'epoch'", "epochs"),
    (("run", "response", *SMOKE, "--precision", "half"), "precision must be one of float32, bfloat16, got 'half'", ""),
    (("run", "response", *SMOKE, "--budget", "25"), "a time must be written like 90s, 25m or 1h30m, got '25'", ""),
    (("run", "response", *SMOKE, "--records", "/proc/runs"), "records cannot be written to /proc/runs", ""),
    (("run", "response", "--workers", "0"), "Invalid value for '--workers'", ""),
    (("run", "response", "--profil", "quick"), "No such option: --profil", "--profile"),
    (("run", "digits-teacher", "--search"), "digits-teacher has no row with a weight to search", ""),
    (("train", *SMOKE, "--data", "digit"), "unknown data set 'digit', expected one of digits", "digits"),
    (("train", *SMOKE, "--method", "fitnett"), "unknown method 'fitnett'", "fitnet"),
    (("train", *SMOKE, "--student", "digits-studnt"), "'digits-studnt'", "digits-student"),
    (("train", *SMOKE, "--method", "kd", "--teacher", "resnet56"), "teacher resnet56 has no weights", "--steps"),
    (("train", *SMOKE, "--method", "kd", "--teacher", "resnt56"), "unknown teacher 'resnt56'", "resnet56"),
    (("train", *SMOKE, "--teacher", "digits-teacher"), "teacher digits-teacher needs a --method to learn by", ""),
    (("train", *SMOKE, "--steps", "many"), "Invalid value for '--steps'", ""),
    (
        ("train", *SMOKE, "--student", "resnet20", "--method", "kd"),
        "images must have shape (batch, 3, height, width)",
        "",
    ),
    (("train", "--profile", "quik"), "unknown profile 'quik'", "quick"),
    (("status", "respnse"), "unknown experiment 'respnse'", "response"),
    (("table", "respnse"), "unknown experiment 'respnse'", "response"),
    (("table", "response", "--format", "xlsx"), "unknown format 'xlsx', expected one of text, csv", ""),
    (("table", "response", "--where", "locl"), "unknown place of records 'locl'", "local"),
    (("show", "dkkd"), "unknown key 'dkkd'", "dkd"),
    (("methods", "--kind", "los"), "unknown kind 'los'", "loss"),
    (("coverage", "--why", "dkkd"), "'dkkd' is no row of the inventory", "dkd"),
    (("data", "get", "cifar11"), "no data set or checkpoint is called 'cifar11'", "cifar10"),
    (("data", "lst"), "No such command 'lst'", "list"),
    (("records", "publish", "response"), "Missing option '--why'", ""),
    (("records", "publish", "response", "--why", "x"), "response has no record in", ""),
    (("records", "merge", "/nowhere"), "records are merged from a folder of them, /nowhere is none", ""),
]


@pytest.mark.parametrize(("words", "says", "near"), WRONG, ids=[" ".join(words) for words, *_ in WRONG])
def test_a_wrong_request_is_answered_in_three_lines_and_with_status_two(kdcore, words, says, near):
    answer = kdcore(*words)
    assert answer.status == 2 and answer.out == ""
    assert says in answer.err.replace("\n", " ") and near in answer.err
    assert len(answer.err.splitlines()) <= 3 and "Traceback" not in answer.err


def test_nothing_is_trained_and_nothing_recorded_for_a_wrong_request(kdcore, own_store):
    kdcore("run", "response", *SMOKE, "--set", "kd.temperature=-1")
    assert not list(own_store.rglob("*.jsonl"))


def test_the_classes_of_teacher_and_data_must_agree(kdcore):
    from kdcore.data import asset

    if not (asset("cifar100").path.exists() and asset("resnet56-a-cifar10").path.exists()):
        pytest.skip("needs cifar100.npz and the public ResNet-56 in the data folder")
    words = ("--student", "resnet20", "--teacher", "resnet56-a-cifar10", "--method", "kd", "--data", "cifar100")
    answer = kdcore("train", *SMOKE, *words)
    assert answer.status == 2
    assert "teacher resnet56-a-cifar10 knows 10 classes, data cifar100 has 100" in answer.err


def test_data_that_cannot_be_had_are_a_failure_and_no_traceback(kdcore, tmp_path, monkeypatch):
    monkeypatch.setenv("KDCORE_DATA", str(tmp_path / "empty"))
    words = ("--teacher", "resnet56-a-cifar10", "--student", "resnet20", "--method", "kd")
    answer = kdcore("train", *SMOKE, *words)
    assert answer.status == 1 and "kdcore data get resnet56-a-cifar10" in answer.err
    assert len(answer.err.splitlines()) <= 3


class TestAnswered:
    def test_a_refusal_is_shown_in_at_most_three_lines(self, capsys):
        def command() -> None:
            raise Refusal("\n".join(["one", "two", "three", "four", "five"]))

        assert answered(command) == 2 and capsys.readouterr().err == "one\ntwo\nthree\n"

    def test_an_interruption_says_that_nothing_is_lost(self, capsys):
        def command() -> None:
            raise KeyboardInterrupt

        assert answered(command) == 130 and "what was recorded is kept" in capsys.readouterr().err

    def test_a_mistake_of_ours_keeps_its_traceback(self):
        with pytest.raises(ZeroDivisionError):
            answered(lambda: 1 // 0)
        with pytest.raises(ModuleNotFoundError):
            answered(lambda: importlib.import_module("kdcore.no_such_module"))

    def test_a_package_that_is_not_installed_is_named(self, capsys):
        assert answered(lambda: importlib.import_module("no_such_package")) == 1
        assert capsys.readouterr().err == "this needs no_such_package, which is not installed here\n"

    def test_the_whole_story_can_be_asked_for(self, monkeypatch):
        def command() -> None:
            raise Refusal("no")

        monkeypatch.setenv("KDCORE_DEBUG", "1")
        with pytest.raises(Refusal):
            answered(command)

    def test_a_reader_who_has_had_enough_is_no_failure(self):
        words = f"{shlex.quote(sys.executable)} -m kdcore.cli coverage --json | head -1"
        found = subprocess.run(["sh", "-c", words], capture_output=True, text=True)
        assert found.stdout == "{\n" and "Traceback" not in found.stderr


def test_columns_are_as_wide_as_they_must_be():
    assert columns([["a", 1], ["long", 22]], ["key", "n"]) == "key   n\na      1\nlong  22"
