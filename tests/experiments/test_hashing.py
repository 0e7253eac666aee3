from __future__ import annotations

import copy

import pytest

from kdcore.experiments.hashing import FREE, IDENTITY, canonical, hash_of, results, same_run

RECORD = {
    "experiment": "response",
    "row": "kd",
    "measure": "kdcore.experiments.training:image",
    "settings": {"data": "digits-100", "methods": [["kd", {"temperature": 4.0}]]},
    "recipe": {"epochs": 240.0, "precision": "float32", "threads": 1, "compile": False},
    "seed": 0,
    "profile": "quick",
    "device": "cpu",
    "inputs": {"data": "content of the data", "teacher": "its weights"},
    "revision": {"step": 1, "kd": 1, "digits-student": 1, "distillation": 1},
    "last": {"accuracy": 0.5},
    "provenance": {"seconds": 1.5, "commit": "abc", "versions": {"torch": "2.13"}},
}


def changed(*path: str, value: object) -> dict:
    record = copy.deepcopy(RECORD)
    at = record
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    return record


class TestHash:
    @pytest.mark.parametrize(
        ("path", "value"),
        [
            (("inputs", "data"), "other content"),
            (("inputs", "teacher"), "other weights"),
            (("settings", "student"), "resnet20"),
            (("settings", "methods"), [["kd", {"temperature": 2.0}]]),
            (("recipe", "epochs"), 100.0),
            (("recipe", "precision"), "bfloat16"),
            (("recipe", "threads"), 2),
            (("recipe", "compile"), True),
            (("seed",), 1),
            (("device",), "cuda"),
            (("profile",), "smoke"),
            (("revision", "kd"), 2),
            (("revision", "step"), 2),
            (("revision", "digits-student"), 2),
        ],
    )
    def test_holds_everything_that_decides_the_numbers(self, path, value):
        assert hash_of(changed(*path, value=value)) != hash_of(RECORD)

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            (("provenance", "commit"), "def"),
            (("provenance", "versions"), {"torch": "2.12"}),
            (("experiment",), "zhao2026-table1"),
            (("row",), "distilled"),
            (("last",), {"accuracy": 0.9}),
        ],
    )
    def test_holds_nothing_that_does_not(self, path, value):
        assert hash_of(changed(*path, value=value)) == hash_of(RECORD)

    def test_does_not_depend_on_the_order_of_names(self):
        assert hash_of(dict(reversed(RECORD.items()))) == hash_of(RECORD)

    def test_survives_a_journey_through_json(self):
        import json

        assert hash_of(json.loads(canonical(RECORD))) == hash_of(RECORD)

    def test_its_parts_are_part_of_every_record(self):
        assert set(IDENTITY) <= set(RECORD)


class TestSameRun:
    def test_provenance_may_differ_and_nothing_else(self):
        assert same_run(RECORD, changed("provenance", "seconds", value=9.0))
        assert not same_run(RECORD, changed("last", "accuracy", value=0.5 + 1e-16 + 1e-15))

    def test_where_a_record_was_read_is_no_part_of_it(self):
        assert results(RECORD | {"origin": "local"}) == results(RECORD) and set(FREE) == {"provenance", "origin"}


def test_what_json_cannot_hold_is_not_hashed():
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"accuracy": float("nan")})
