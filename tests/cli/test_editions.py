"""An older edition of a table is computed again from the committed records, whatever has been added since."""

import csv
import io
import json
import statistics

import pytest

from kdcore.experiments.store import published_folder
from kdcore.reporting.editions import Edition, edition_hash

NAME = "cifar10-first"
REAL = published_folder() / f"{NAME}.jsonl"
RECORDS = [json.loads(line) for line in REAL.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def editions(tmp_path, monkeypatch):
    """Two editions of real records: two rows first, all of them later."""
    (tmp_path / f"{NAME}.jsonl").write_bytes(REAL.read_bytes())
    first = tuple(sorted(one["hash"] for one in RECORDS if one["row"] in ("student", "kd")))
    second = tuple(sorted(one["hash"] for one in RECORDS))
    made = [Edition("2026-01-01", edition_hash(first), first, "two rows"),
            Edition("2026-02-02", edition_hash(second), second, "all rows")]  # fmt: skip
    (tmp_path / f"{NAME}.editions.jsonl").write_text("".join(one.line() + "\n" for one in made))
    monkeypatch.setattr("kdcore.experiments.store.published_folder", lambda: tmp_path)
    return made


def rows(kdcore, *words):
    answer = kdcore("table", NAME, "--format", "csv", *words)
    assert answer.status == 0, answer.err
    return {row["row"]: row for row in csv.DictReader(io.StringIO(answer.out))}


class TestEdition:
    def test_an_older_one_shows_its_own_rows_under_its_own_name(self, kdcore, editions):
        found = rows(kdcore, "--edition", editions[0].short)
        assert set(found) == {"student", "kd"}
        assert {row["edition"] for row in found.values()} == {f"2026-01-01 ({editions[0].short})"}

    def test_its_numbers_are_those_of_its_records(self, kdcore, editions):
        found = rows(kdcore, "--edition", editions[0].short[:4])
        own = [one["last"]["accuracy"] for one in RECORDS if one["row"] == "kd"]
        assert float(found["kd"]["mean"]) == pytest.approx(statistics.fmean(own))

    def test_the_newest_has_all_rows(self, kdcore, editions):
        assert set(rows(kdcore, "--edition", editions[1].short)) == {one["row"] for one in RECORDS}

    def test_its_entry_names_it(self, kdcore, editions):
        said = kdcore("table", NAME, "--format", "bibtex", "--edition", editions[0].short).out
        assert f"Edition 2026-01-01 ({editions[0].short}), 4 records" in said

    def test_one_that_is_not_there_is_refused_with_those_that_are(self, kdcore, editions):
        answer = kdcore("table", NAME, "--edition", "nothing")
        assert answer.status == 2
        assert all(one.short in answer.err for one in editions)
