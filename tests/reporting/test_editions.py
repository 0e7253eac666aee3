import hashlib
import json

import pytest

from kdcore.entry import Refusal
from kdcore.reporting.editions import (
    UNDATED,
    Edition,
    changelog,
    day_of,
    edition_hash,
    edition_named,
    edition_of,
    methods_published,
    published_editions,
    read_editions,
)


def edition(date: str, *hashes: str, why: str = "more seeds") -> Edition:
    return Edition(date, edition_hash(hashes), tuple(sorted(hashes)), why)


class TestEditionHash:
    def test_is_a_digest_of_the_sorted_hashes(self):
        assert edition_hash(["b1", "a1"]) == hashlib.sha256(b"a1\nb1\n").hexdigest()[:8]

    def test_does_not_care_about_order_or_repetition_and_does_about_content(self):
        assert edition_hash(["a", "b"]) == edition_hash(["b", "a", "b"]) != edition_hash(["a", "c"])

    def test_joined_names_are_not_confused(self):
        assert edition_hash(["ab", "c"]) != edition_hash(["a", "bc"])


class TestEditionOf:
    def test_takes_the_day_of_the_latest_record_never_the_day_of_reading(self, rows):
        found = edition_of(rows("kd", (0.9, 0.91, 0.92)))
        assert found.date == "2026-03-03" and found.hashes == ("kd-0", "kd-1", "kd-2") and found.why == ""

    def test_results_do_not_move_it_and_another_run_does(self, rows):
        one, two = (edition_of(rows("kd", values)).short for values in ((0.9, 0.91), (0.8, 0.81)))
        assert one == two != edition_of(rows("kd", (0.9, 0.91, 0.92))).short

    def test_a_published_edition_that_holds_the_records_gives_its_name(self, rows):
        published = [edition("2026-01-01", "kd-0", "kd-1"), edition("2026-02-02", "kd-0", "kd-1", "at-0")]
        assert edition_of(rows("kd", (0.9, 0.91)), published) == published[1]
        assert edition_of(rows("kd", (0.9, 0.91, 0.92)), published).date == "2026-03-03"

    def test_records_without_a_day_are_undated(self, rows):
        found = edition_of(rows("kd", (0.9,), provenance={"finished": "yesterday"}))
        assert found.date == UNDATED and str(found) == f"undated ({found.short})"

    def test_no_records_are_called_so(self):
        assert str(edition_of([], [edition("2026-01-01", "a")])) == "of no records"

    def test_a_day_is_read_from_a_time_stamp(self):
        assert day_of({"provenance": {"finished": "2026-03-01T23:59:59+00:00"}}) == "2026-03-01"
        assert day_of({}) == ""


class TestFile:
    def test_what_is_written_is_read_back(self, tmp_path):
        entries = (edition("2026-01-01", "a"), edition("2026-02-02", "a", "b", why='两个种子 \\ "quoted"'))
        path = tmp_path / "made-up.editions.jsonl"
        path.write_text("".join(one.line() + "\n" for one in entries), "utf-8")
        assert read_editions(path) == (entries, ()) == published_editions("made-up", tmp_path)

    def test_a_missing_file_holds_none(self, tmp_path):
        assert published_editions("never", tmp_path) == ((), ())

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            (edition("2026-01-01", "a").line()[:-9], "cut off or is no JSON"),
            ("", "cut off or is no JSON"),
            ('["a"]', "an edition has a date, a short hash and the hashes of its records"),
            (json.dumps({"date": "2026-01-01", "short": "00000000", "hashes": ["a"]}), "the line says 00000000"),
            (edition("last week", "a").line(), "last week"),
        ],
    )
    def test_a_bad_line_is_named_and_the_others_are_read(self, tmp_path, line, problem):
        good, path = edition("2026-01-01", "a"), tmp_path / "made-up.editions.jsonl"
        path.write_text(f"{good.line()}\n{line}\n{good.line()}\n", "utf-8")
        found = read_editions(path)
        assert found.entries == (good, good)
        assert len(found.problems) == 1 and found.problems[0].startswith("made-up.editions.jsonl, line 2: ")
        assert problem in found.problems[0]


class TestChangelog:
    def test_newest_first_with_what_changed_and_why(self):
        said = changelog(
            {
                "response": [edition("2026-01-01", "a", why="first"), edition("2026-03-03", "b", "c", why="")],
                "cifar": [edition("2026-01-01", "x", "y", why="a GPU")],
            }
        )
        two, three = edition_hash(["b", "c"]), edition_hash(["a"])
        assert said.splitlines() == [
            "## 2026-03-03",
            "",
            f"- `response`, edition {two} (2 records, 2 new, 1 no longer shown): no reason given",
            "",
            "## 2026-01-01",
            "",
            f"- `response`, edition {three} (1 record, 1 new): first",
            f"- `cifar`, edition {edition_hash(['x', 'y'])} (2 records, 2 new): a GPU",
        ]

    def test_nothing_published_is_nothing_said(self):
        assert changelog({"response": []}) == ""


class TestNamed:
    @pytest.fixture
    def folder(self, tmp_path):
        lines = [edition("2026-01-01", "a"), edition("2026-02-02", "a", "b")]
        (tmp_path / "made-up.editions.jsonl").write_text("".join(one.line() + "\n" for one in lines))
        return tmp_path

    def test_the_first_digits_are_enough(self, folder):
        assert edition_named("made-up", edition_hash(["a"])[:5], folder).hashes == ("a",)

    @pytest.mark.parametrize("short", ["zzzz", ""])
    def test_another_is_refused_and_those_that_are_there_are_named(self, folder, short):
        with pytest.raises(Refusal, match=rf"made-up has no edition .* it has 2026-01-01 \({edition_hash(['a'])}\)"):
            edition_named("made-up", short, folder)

    def test_an_experiment_without_any_says_so(self, tmp_path):
        with pytest.raises(Refusal, match="it has none that is published"):
            edition_named("made-up", "a1", tmp_path)


def test_published_methods_are_those_of_the_records(tmp_path):
    (tmp_path / "one.jsonl").write_text('{"method": "kd"}\n{"method": "at"}\n{"method": "kd"}\n')
    (tmp_path / "one.editions.jsonl").write_text("{}\n")
    assert methods_published(tmp_path) == {"one": {"kd", "at"}}
