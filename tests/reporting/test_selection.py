import pytest

from kdcore.reporting.selection import device_of, select, value_of
from kdcore.reporting.selection.companies import made_from, revision_order


def accuracy(records, **options):
    return select(records, metric="accuracy", **options)


class TestValue:
    def test_is_taken_from_the_epoch_that_is_asked_for(self, record):
        one = record("kd", 0, 0.9)
        assert value_of(one, "accuracy") == 0.9 and value_of(one, "accuracy", "best") == pytest.approx(0.91)

    def test_nested_results_are_reached_by_dots(self, record):
        one = record("gap", 0, 0.9, last={"centred": {"T=10": 0.25}, "a.b": 3})
        assert value_of(one, "centred.T=10") == 0.25 and value_of(one, "a.b") == 3.0

    def test_a_delivered_network_is_reached_by_its_role(self, record):
        assert value_of(record("one", 0, 0.9), "networks.leader.accuracy") == 0.45

    @pytest.mark.parametrize("metric", ["f1", "accuracy.top5", "networks.peer.accuracy"])
    def test_a_missing_number_is_named(self, record, metric):
        with pytest.raises(KeyError, match=f"the record has no {metric} of the last epoch"):
            value_of(record("kd", 0, 0.9), metric)


class TestWhatBelongsTogether:
    def test_records_become_rows_by_seed(self, rows):
        found = accuracy([*rows("kd", (0.9, 0.91)), *rows("at", (0.8,))])
        assert {key: row.values for key, row in found.rows.items()} == {"kd": {0: 0.9, 1: 0.91}, "at": {0: 0.8}}
        assert found.notes == () and found[2:] == ("made-up", "quick", "cpu")

    def test_cut_off_and_foreign_records_are_named_not_shown(self, rows, record):
        cut = {"experiment": "made-up", "row": "kd"}
        found = accuracy(
            [*rows("kd", (0.9,)), cut, "text", record("kd", 1, 0.1, experiment="other")], experiment="made-up"
        )
        assert found.rows["kd"].values == {0: 0.9}
        assert found.notes == (
            "record 2 is cut off or foreign, it has no seed, status and hash",
            "record 3 is cut off or foreign, it has no experiment, row, seed, status and hash",
            "record kd-1 is of experiment `other`",
        )

    @pytest.mark.parametrize(
        ("change", "asked", "says"),
        [
            ({"experiment": "other"}, {"experiment": "made-up"}, "made-up and other .* choose one with experiment="),
            ({"profile": "paper"}, {"profile": "quick"}, "paper and quick .* choose one with profile="),
            ({"device": "cuda"}, {"device": "cpu"}, "cpu and cuda .* choose one with device="),
        ],
    )
    def test_two_kinds_need_a_choice(self, rows, change, asked, says):
        records = [*rows("kd", (0.9, 0.8)), *rows("kd", (0.1, 0.2), **change, hash="x")]
        with pytest.raises(ValueError, match=f"records of {says}"):
            accuracy(records)
        found = accuracy([one | {"hash": str(place)} for place, one in enumerate(records)], **asked)
        assert found.rows["kd"].values == {0: 0.9, 1: 0.8} and found.notes

    def test_the_device_is_its_kind(self, record):
        named = record("kd", 0, 0.9, device="cuda:1"), record("kd", 0, 0.9, device=None)
        assert [device_of(one) for one in named] == ["cuda", "cpu"]
        assert device_of({"provenance": {}}) == "device not recorded"

    def test_a_changed_setting_gets_a_row_of_its_own(self, rows):
        changed = rows("kd", (0.7,), variant={"kd.temperature": 8, "recipe.epochs": 5}, hash="v")
        found = accuracy([*rows("kd", (0.9,)), *changed])
        assert {key: row.values for key, row in found.rows.items()} == {
            "kd": {0: 0.9},
            "kd [temperature=8, recipe.epochs=5]": {0: 0.7},
        }


class TestNothingIsMixed:
    def test_the_newest_revision_is_shown_and_the_older_named(self, rows, record):
        older = [record("kd", seed, 0.1, revision={"step": 1, "kd": 1}, hash=f"o{seed}") for seed in (2, 3)]
        newer = rows("kd", (0.9, 0.91), revision={"step": 1, "kd": 2})
        found = accuracy([*older, *newer])
        assert found.rows["kd"].values == {0: 0.9, 1: 0.91} and not found.rows["kd"].stale
        assert found.notes == ('2 records of `kd` (seeds 2–3): revision {"kd": 1, "step": 1}',)

    def test_outdated_records_are_shown_as_such_where_there_are_no_others(self, rows):
        found = accuracy(rows("kd", (0.9,)), outdated=lambda revision: ["kd"] if revision["kd"] < 2 else [])
        assert found.rows["kd"].stale == "an older revision of kd" and found.rows["kd"].values == {0: 0.9}

    def test_outdated_records_give_way_to_current_ones_however_few(self, rows):
        current = rows("kd", (0.5,), revision={"step": 1, "kd": 2}, hash="new")
        records = [*rows("kd", (0.9, 0.9, 0.9)), *current]
        found = accuracy(records, outdated=lambda revision: ["kd"] if revision["kd"] < 2 else [])
        assert found.rows["kd"].values == {0: 0.5}
        assert found.notes == ("3 records of `kd` (seeds 0–2): an older revision of kd",)

    def test_what_the_experiment_would_run_today_comes_first(self, rows):
        now = {"methods": [["kd", {"weight": 0.5}]]}
        before, today = rows("kd", (0.9, 0.9)), rows("kd", (0.7,), settings=now, hash="now")
        found = accuracy([*before, *today], wanted={"kd": made_from(now, {"steps": 10})})
        assert found.rows["kd"].values == {0: 0.7} and not found.rows["kd"].stale
        assert found.notes == ("2 records of `kd` (seeds 0–1): settings that the experiment no longer has",)
        alone = accuracy(before, wanted={"kd": made_from(now, {"steps": 10})})
        assert alone.rows["kd"].stale == "settings that the experiment no longer has"

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"settings": {"methods": [["kd", {"temperature": 2}]]}}, "settings"),
            ({"recipe": {"steps": 99}}, "recipe"),
            ({"inputs": {"data": "d1"}}, "inputs"),
            ({"promise": "no difference beyond chance"}, "promise"),
        ],
    )
    def test_half_a_row_made_from_something_else_is_not_added_to_it(self, rows, record, change, why):
        others = [record("kd", seed, 0.1, hash=f"x{seed}", **change) for seed in (3, 4)]
        found = accuracy([*rows("kd", (0.9, 0.91, 0.92)), *others])
        assert found.rows["kd"].values == {0: 0.9, 1: 0.91, 2: 0.92}
        assert found.notes == (f"2 records of `kd` (seeds 3–4): other {why}",)

    def test_another_teacher_is_another_row(self, record):
        setting = {"teacher": {"experiment": "t", "row": "teacher", "seed": 0}}
        made = [record("kd", s, 0.9, settings=setting, inputs={"teacher": mark}) for s, mark in enumerate("aab")]
        assert accuracy(made).rows["kd"].values == {0: 0.9, 1: 0.9}

    def test_teachers_of_the_runs_own_seed_belong_together(self, record):
        setting = {"teacher": {"experiment": "t", "row": "teacher"}}
        made = [record("kd", s, 0.9, settings=setting, inputs={"teacher": mark}) for s, mark in enumerate("abc")]
        assert set(accuracy(made).rows["kd"].values) == {0, 1, 2}

    def test_a_run_that_is_both_local_and_committed_counts_once(self, rows):
        both = [*rows("kd", (0.9,)), *rows("kd", (0.9,), origin="published", provenance={"seconds": 5})]
        found = accuracy(both)
        assert found.rows["kd"].origins == ("committed record",) and len(found.rows["kd"].records) == 1

    def test_one_hash_with_two_results_is_left_out(self, rows):
        found = accuracy([*rows("kd", (0.9, 0.8)), *rows("kd", (0.4,), origin="published")])
        assert found.rows["kd"].values == {1: 0.8}
        assert found.notes == ("the records with hash kd-0, which disagree in their numbers",)

    def test_two_runs_of_one_seed_that_nothing_tells_apart_are_left_out(self, rows):
        found = accuracy([*rows("kd", (0.9, 0.8)), *rows("kd", (0.4,), hash="again")])
        assert found.rows["kd"].values == {1: 0.8} and found.notes == ("2 different runs of `kd`, seed 0",)

    def test_revisions_of_any_form_only_rise(self):
        forms = [1, "1.2", {"step": 1, "resnet56": 1}, [1, 1]], [2, "1.3", {"step": 1, "resnet56": 2}, [2, 1]]
        assert all(revision_order(before) < revision_order(after) for before, after in zip(*forms))


class TestFailures:
    def test_a_failed_run_has_a_reason_and_no_value(self, rows, failed):
        found = accuracy([*rows("at", (0.9,)), failed("at", 1)]).rows["at"]
        assert found.values == {0: 0.9} and found.failures == {1: "at is nan (stage main, step 40, term at)"}

    def test_a_finished_run_of_the_same_hash_takes_its_place(self, rows, failed):
        found = accuracy([failed("at", 0), *rows("at", (0.9,))]).rows["at"]
        assert found.values == {0: 0.9} and found.failures == {}

    @pytest.mark.parametrize(
        ("last", "reason"),
        [
            ({"accuracy": float("nan")}, "accuracy is nan"),
            ({}, "the record has no accuracy of the last epoch"),
            (None, "the record has no accuracy of the last epoch"),
        ],
    )
    def test_a_record_without_the_number_counts_as_failed(self, rows, last, reason):
        assert accuracy(rows("kd", (0.9,), last=last)).rows["kd"].failures == {0: reason}

    def test_a_failure_without_a_reason_says_so(self, failed):
        bare = failed("at", 0) | {"failure": None}
        assert accuracy([bare]).rows["at"].failures == {0: "no reason recorded"}

    def test_an_unknown_epoch_is_refused(self, rows):
        with pytest.raises(ValueError, match="which must be one of last, best or mean_of_last_ten, got 'first'"):
            accuracy(rows("kd", (0.9,)), which="first")
