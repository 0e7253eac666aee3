import csv
import io
import json
import re

import pytest

from kdcore.reporting import Published, result_table
from kdcore.reporting.export import COLUMNS


@pytest.fixture
def table(three_rows, failed):
    published = {"kd": Published(0.7445, "zhao2026", 'CIFAR-100, "last" epoch; one, run')}
    return result_table(
        [*three_rows, failed("at", 0)], published=published, title="蒸馏 50% of a_b & {more}", labels={"kd": "KD #1"}
    )


class TestCsv:
    def test_is_read_back_at_full_precision(self, table):
        found = {row["row"]: row for row in csv.DictReader(io.StringIO(table.csv()))}
        assert list(found) == [line.key for line in table.lines]
        for line in table.lines:
            if line.values:
                assert float(found[line.key]["mean"]) == line.summary.mean
                assert float(found[line.key]["std"]) == line.summary.std
            if line.difference:
                assert float(found[line.key]["low"]) == line.difference.low

    def test_every_line_names_edition_profile_device_and_seeds(self, table):
        for row in csv.DictReader(io.StringIO(table.csv())):
            assert tuple(row) == COLUMNS
            assert (row["edition"], row["profile"], row["device"]) == (str(table.edition), "quick", "cpu")
        assert found_row(table, "kd")["seeds"] == "0 | 1 | 2 | 3 | 4"

    def test_published_values_keep_their_source_through_commas_and_quotes(self, table):
        found = found_row(table, "kd")
        assert float(found["published"]) == 0.7445 and found["citation"] == "zhao2026"
        assert found["protocol"] == 'CIFAR-100, "last" epoch; one, run'

    def test_a_failed_row_keeps_its_reason_and_empty_numbers(self, table):
        found = found_row(table, "at")
        assert (found["status"], found["mean"], found["n"]) == ("failed", "", "0") and "at is nan" in found["failures"]


def found_row(table, key):
    return next(row for row in csv.DictReader(io.StringIO(table.csv())) if row["row"] == key)


class TestJson:
    def test_holds_every_seed_and_every_hash(self, table, three_rows):
        found = json.loads(table.json())
        assert found["edition"]["hashes"] == sorted([*(one["hash"] for one in three_rows), "at-0"])
        values = {row["row"]: row["values"] for row in found["rows"]}
        assert values["dkd"] == {"0": 0.93, "1": 0.92, "2": 0.94, "3": 0.96, "4": 0.95}

    def test_statistics_are_those_of_the_table(self, table):
        found = json.loads(table.json())
        rows = {row["row"]: row for row in found["rows"]}
        assert found["noise"]["smallest_gap"] == table.noise.gap and found["unit"] == "fraction"
        assert rows["dkd"]["p_holm"] == next(line.p for line in table.lines if line.key == "dkd")
        assert rows["dkd"]["verdict"] == "above" and rows["dkd"]["best"] is True

    def test_the_table_can_be_made_again_from_its_own_json(self, table, record):
        found = json.loads(table.json())
        records = [
            record(row["row"], int(seed), value) for row in found["rows"] for seed, value in row["values"].items()
        ]
        again = result_table(records)
        assert [line.summary for line in again.lines] == [line.summary for line in table.lines if line.values]
        assert again.noise == table.noise


class TestLatex:
    def test_is_a_booktabs_table_with_caption_label_and_edition(self, table):
        found = table.latex()
        for part in (r"\toprule", r"\midrule", r"\bottomrule", r"\label{tab:made-up}", str(table.edition)):
            assert part in found
        assert r"\caption{蒸馏 50\% of a\_b \& \{more\}: accuracy" in found

    def test_special_characters_are_escaped_everywhere(self, table):
        body = table.latex().replace(r"\\", "").partition("\n")[2]
        assert not re.search(r"(?<!\\)[%#]", body) and not re.search(r"(?<![\\a-z}])&(?! )", body)
        assert r"KD \#1" in body and r"\cite{zhao2026}" in body and r"94.0 $\pm$ 1.6 (5)" in body

    def test_braces_and_environments_are_balanced(self, table):
        found = re.sub(r"\\[{}]", "", table.latex())
        assert found.count("{") == found.count("}")
        for name in ("table", "tabular", "minipage"):
            assert found.count(rf"\begin{{{name}}}") == found.count(rf"\end{{{name}}}") == 1

    def test_every_line_has_as_many_cells_as_the_header(self, table):
        lines = [line for line in table.latex().splitlines() if line.endswith(r"\\")]
        assert len(lines) == 6 and len({len(re.findall(r"(?<!\\)&", line)) for line in lines}) == 1


class TestBibtex:
    def test_is_read_by_a_bibliography_parser(self, table):
        database = pytest.importorskip("pybtex.database", reason="the extra `book` brings the parser")
        (entry,) = database.parse_string(table.bibtex(), "bibtex").entries.values()
        assert entry.type == "misc" and entry.fields["year"] == "2026"
        assert str(entry.persons["author"][0]) == "{The kdcore authors}"  # one name, not split
        assert table.edition.short in entry.key and str(table.edition) in entry.fields["note"]
        assert entry.fields["title"] == r"{蒸馏 50\% of a\_b \& \{more\}: accuracy}"

    def test_has_no_address_that_does_not_exist(self, table):
        assert not re.search(r"url|doi|http|address", table.bibtex(), re.IGNORECASE)

    def test_an_undated_edition_has_no_year(self, rows):
        assert "year" not in result_table(rows("kd", (0.9,), provenance={})).bibtex()
