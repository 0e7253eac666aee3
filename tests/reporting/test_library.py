"""Tables of the library's own experiments: what their rows would be today, and who taught them. Numbers are made up."""

from dataclasses import replace

import pytest

from kdcore.experiments import get
from kdcore.experiments.requests import Request
from kdcore.experiments.store import Store
from kdcore.reporting import result_table
from kdcore.reporting.tables.library import known, outdated_parts

WEIGHTS = "w" * 64


def made(experiment, row, seed, accuracy, **changes):
    """A record as the store would hold it, but for its numbers."""
    about = get(experiment)
    run = Request.of(about, "smoke").run(about.row(row), seed)
    head = run.identity({"data": "d0", "classes": 10, "teacher": WEIGHTS} | changes.pop("inputs", {}))
    found = {"status": "done", "promise": "same bits", "provenance": {}, "last": {"accuracy": accuracy}, "variant": {}}
    return {**head, **found, "origin": "local"} | changes


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("KDCORE_RUNS", str(tmp_path))
    return Store()


@pytest.fixture
def response(store):
    return [made("response", row, s, 0.5 + s / 100) for row in ("student", "kd") for s in (0, 1, 2)]


class TestKnown:
    def test_a_key_is_looked_up_and_a_stranger_left_alone(self):
        own = object()
        assert known("response").key == "response" and known("never heard of") is None and known(own) is own

    def test_a_table_of_a_survey_is_found_by_its_key(self, response):
        assert known("zhao2026-table1").key == "zhao2026-table1"


class TestExperimentsOfTheLibrary:
    def test_rows_titles_and_published_values_come_from_the_experiment(self, response):
        table = result_table(response, "response")
        assert table.title == get("response").title and table.caption.startswith(table.title)
        assert [line.key for line in table.lines] == [row.key for row in get("response").rows]
        assert {line.status for line in table.lines} == {"done", "not run"}
        assert any(line.published for line in table.lines)

    def test_where_an_experiment_has_no_student_its_first_row_is_the_reference(self):
        assert result_table([], "precision").reference == "float32"
        assert result_table([], "response").reference == "student"
        assert result_table([], "precision", reference="bfloat16").reference == "bfloat16"

    def test_runs_as_they_would_be_made_today_are_compared(self, response):
        assert not any(line.stale for line in result_table(response, "response").lines)

    def test_runs_of_an_older_recipe_are_shown_and_not_compared(self, response):
        before = [
            one | {"recipe": one["recipe"] | {"learning_rate": 9.0}} if one["row"] == "kd" else one for one in response
        ]
        line = next(line for line in result_table(before, "response").lines if line.key == "kd")
        assert line.stale == "settings that the experiment no longer has" and line.difference is None and line.values

    def test_runs_of_an_older_measure_are_shown_and_not_compared(self, response):
        about = get("response")
        newer = replace(about, rows=tuple(replace(r, revision=2) if r.key == "kd" else r for r in about.rows))
        stale = {line.key: line.stale for line in result_table(response, newer).lines if line.values}
        assert stale["kd"] == "an older revision of the row" and not stale["student"]

    def test_runs_of_an_older_revision_are_shown_and_not_compared(self, response):
        before = [one | {"revision": one["revision"] | {"kd": 0}} if one["row"] == "kd" else one for one in response]
        line = next(line for line in result_table(before, "response").lines if line.key == "kd")
        assert line.stale == "an older revision of kd" and line.difference is None

    def test_revisions_are_compared_with_the_code(self):
        assert outdated_parts({"kd": 0, "step": 10**6}) == ["kd"] and outdated_parts(None) == ()


class TestTeachers:
    def test_the_network_that_taught_is_found_by_its_weights(self, store, response):
        for seed, weights in ((0, WEIGHTS), (1, "v" * 64)):
            store.write(
                made("digits-teacher", "teacher", seed, 0.9 + seed / 100, weights=weights, inputs={"data": "d1"})
            )
        table = result_table(response, "response")
        assert table.lines[0].key == "teacher" and table.lines[0].values == {0: 0.9}

    def test_without_its_record_there_is_no_teacher_row(self, response):
        assert result_table(response, "response").lines[0].key == "student"

    def test_committed_records_look_for_committed_teachers_alone(self, store, response):
        store.write(made("digits-teacher", "teacher", 0, 0.9, weights=WEIGHTS))
        committed = [one | {"origin": "published"} for one in response]
        assert all(line.key != "teacher" for line in result_table(committed, "response").lines)
