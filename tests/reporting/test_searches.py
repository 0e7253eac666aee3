"""The table of a search, on records made up for the purpose."""

import csv
import io
import json
from dataclasses import replace

import pytest

from kdcore import experiments
from kdcore.entry import Refusal
from kdcore.experiments.types import Row
from kdcore.reporting import Edition, search_table

ROWS = (Row("student"), Row("at", search={"weight": 1000.0}), Row("rkd", search={"distance": 25.0, "angle": 50.0}))
ASKED = replace(experiments.get("feature"), key="made-up", title="Made up", rows=ROWS)
SCORES = {"at-x1": (0.5, 0.7), "at-x0.1": (0.9, 0.8), "at-x0.01": (0.85, 0.85), "rkd-x0.001": (0.25, 0.75)}


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setattr(experiments, "get", lambda key: ASKED)


@pytest.fixture
def tried(record):
    return [
        record(row, seed, value, experiment="made-up-search", score="accuracy", revision={})
        for row, values in SCORES.items()
        for seed, value in enumerate(values, start=100)
    ]


class TestSearchTable:
    def test_each_row_shows_its_scores_and_the_weight_that_the_best_makes(self, tried):
        assert search_table(ASKED, tried).grid.rows == (
            ("`at`", "1000", "60.0", "**85.0**", "85.0", "–", "100"),
            ("`rkd`", "25 and 50", "–", "–", "–", "**50.0**", "0.025 and 0.05"),
        )

    def test_its_caption_says_on_which_split_and_how_it_was_made(self, tried):
        caption = search_table("made-up-search", tried).caption
        assert "on the validation split: accuracy on that split" in caption and "test split" not in caption
        assert "Profile quick, cpu, seeds 100–101, 8 records" in caption

    def test_a_failed_scale_is_a_dash_and_is_not_chosen(self, tried):
        failed = [one | {"status": "failed"} if one["row"] == "at-x0.1" else one for one in tried]
        table = search_table(ASKED, failed)
        assert table.grid.rows[0] == ("`at`", "1000", "60.0", "–", "**85.0**", "–", "10")
        assert "A dash: no run is recorded, or one failed." in table.notes

    def test_nothing_recorded_is_said(self):
        table = search_table(ASKED, [])
        assert table.notes == ("Nothing is recorded of this search.",) and table.files() == {}
        assert {cell for row in table.grid.rows for cell in row[2:]} == {"–"}

    def test_records_of_several_profiles_need_a_choice(self, tried, record):
        short = record("at-x1", 100, 0.1, experiment="made-up-search", score="accuracy", profile="short", hash="other")
        with pytest.raises(ValueError, match="choose one with profile="):
            search_table(ASKED, [*tried, short])
        assert search_table(ASKED, [*tried, short], profile="short").grid.rows[0][2] == "**10.0**"

    def test_a_foreign_record_is_left_out_and_named(self, tried, record):
        notes = search_table(ASKED, [*tried, record("at", 0, 0.1, experiment="other")]).notes
        assert any("is of experiment `other`" in note for note in notes)

    def test_an_edition_is_shown_as_it_was(self, tried):
        first = [one for one in tried if one["row"] == "at-x1"]
        older = search_table(ASKED, first).edition
        assert search_table(ASKED, tried, edition=older).grid.rows == search_table(ASKED, first).grid.rows

    def test_its_caption_names_the_edition_that_was_asked_for_though_a_later_one_holds_its_records(self, tried):
        asked = Edition("2026-01-01", "00000000", tuple(sorted(one["hash"] for one in tried)))
        table = search_table(ASKED, tried, edition=asked)
        assert "edition 2026-01-01 (00000000)" in table.caption and "quick-cpu-00000000" in table.bibtex()

    def test_an_experiment_without_a_weight_is_refused(self, monkeypatch):
        monkeypatch.setattr(experiments, "get", lambda key: replace(ASKED, rows=ROWS[:1]))
        with pytest.raises(Refusal, match="no row with a weight to search"):
            search_table("made-up", [])

    def test_its_files_hold_the_numbers_as_recorded(self, tried):
        table = search_table(ASKED, tried)
        lines = list(csv.DictReader(io.StringIO(table.csv())))
        assert [(one["row"], float(one["scale"]), float(one["mean"]), one["chosen"]) for one in lines][:2] == [
            ("at", 1.0, pytest.approx(0.6), "False"),
            ("at", 0.1, pytest.approx(0.85), "True"),
        ]
        assert {one["split"] for one in lines} == {json.loads(table.json())["split"]} == {"validation"}
        assert json.loads(table.json())["rows"]["rkd"] == {"scores": {"0.001": 0.5}, "chosen": 0.001}
        assert f"@misc{{kdcore-made-up-search-quick-cpu-{table.edition.short}," in table.bibtex()

    def test_the_command_under_it_searches_again(self, tried):
        shown = search_table(ASKED, tried)._repr_mimebundle_()["text/markdown"]
        assert "Again: `kdcore run made-up --search --profile quick --device cpu`." in shown
