from types import SimpleNamespace

import pytest

from kdcore.reporting import Published, result_table
from kdcore.reporting.columns import (
    beside,
    claims_table,
    committed_tables,
    groups_table,
    records_of,
    ruling,
    three_columns,
)

OTHERS = {
    "student": Published(0.9236, "si2023", "Table 1"),
    "kd": Published(0.9243, "si2023", "Table 1"),
}


@pytest.fixture
def experiment():
    rows = [SimpleNamespace(key=key, settings={}, published=OTHERS.get(key)) for key in ("student", "kd", "late")]
    return SimpleNamespace(key="made-up", title="Made up", rows=rows)


@pytest.fixture
def here(rows, experiment):
    return result_table([*rows("student", (0.80, 0.81, 0.82)), *rows("kd", (0.90, 0.92, 0.91))], experiment)


class TestThreeColumns:
    def test_each_kind_of_number_has_its_own_column_that_says_so(self, here, rows, experiment):
        records = [*rows("student", (0.90, 0.91)), *rows("kd", (0.92, 0.94))]
        committed = result_table([one | {"profile": "short", "origin": "published"} for one in records], experiment)
        shown = three_columns(here, [committed])
        assert shown.header[1:] == (
            "published by others, % (gain, points)",
            "committed record, profile short, cpu, % (gain, points)",
            "this run, profile quick, cpu, % (gain, points)",
        )
        assert shown.rows[1] == ("`kd`", "92.43 (+0.07)", "93.0 ± 1.4 (2) (+2.5)", "91.0 ± 1.0 (3) (+10.0 †)")
        assert shown.rows[0][1:] == ("92.36", "90.5 ± 0.7 (2)", "81.0 ± 1.0 (3)")
        assert f"short records: edition {committed.edition}" in shown.caption

    def test_without_committed_records_the_column_is_there_and_empty(self, here):
        shown = three_columns(here)
        assert shown.header[2] == "committed record" and {row[2] for row in shown.rows} == {"–"}
        assert "No record is committed" in shown.caption

    def test_a_row_that_has_not_been_run_keeps_its_place(self, here):
        assert three_columns(here).rows[2] == ("`late`", "–", "–", "–")

    def test_sources_stand_under_the_table(self, here):
        notes = three_columns(here).notes
        assert "Published: {cite:t}`si2023`, Table 1." in notes and any("Holm" in note for note in notes)


class TestBeside:
    def test_metrics_stand_beside_each_other_each_with_its_difference(self, here, rows, experiment):
        records = [*rows("student", (0.80, 0.81, 0.82)), *rows("kd", (0.90, 0.92, 0.91))]
        entropy = result_table(records, experiment, metric="cross_entropy")
        shown = beside({"accuracy": here, "cross-entropy": entropy})
        assert shown.header[1] == "accuracy, % (difference to `student`)"
        assert shown.rows[1][1:] == ("91.0 ± 1.0 (3) (+10.0 †)", "0.0900 ± 0.0100 (3) (−0.1000 †)")

    def test_what_a_run_could_not_measure_is_no_failure(self, here, rows, experiment):
        records = [*rows("student", (0.80, 0.81, 0.82)), *rows("kd", (0.90, 0.92, 0.91))]
        for record in records[3:]:
            record["networks"]["student"]["agreement"] = 0.9
        agreement = result_table(records, experiment, metric="networks.student.agreement", reference="kd")
        assert [row[2] for row in beside({"accuracy": here, "agreement": agreement}).rows[:2]] == [
            "–",
            "90.0 ± 0.0 (3)",
        ]


class TestGroups:
    def test_every_group_has_a_line_with_its_means_and_the_rule_under_it(self, rows):
        close = [*rows("b", (0.90, 0.91, 0.92)), *rows("c", (0.903, 0.911, 0.922))]
        table = result_table([*rows("student", (0.80, 0.81, 0.82)), *close])
        shown = groups_table(table)
        assert shown.rows == (("`c`, `b`", "91.2", "91.0"), ("`student`", "81.0", "81.0"))
        assert "Tukey" in shown.notes[0] and "Tied is not equal" in shown.notes[0]

    def test_luck_that_rows_share_does_not_tie_them_where_they_are_compared_on_it(self, rows):
        luck = (0.05, -0.05, 0.0, 0.02)
        values = {"student": 0.80, "kd": 0.82, "dkd": 0.84}
        wobble = {"student": (1, -1, 0, 0), "kd": (0, 1, -1, 0), "dkd": (-1, 0, 0, 1)}
        records = [
            record
            for key, mean in values.items()
            for record in rows(key, tuple(mean + one + 0.001 * own for one, own in zip(luck, wobble[key])))
        ]
        alone, together = (result_table(records, method=method) for method in ("t", "pooled"))
        assert alone.noise.groups == (("dkd", "kd", "student"),) and not alone.noise.shared
        assert together.noise.groups == (("dkd",), ("kd",), ("student",)) and together.noise.shared
        assert together.noise.gap < alone.noise.gap / 10
        assert any("on the same seeds" in note for note in together.notes)

    def test_rows_of_other_seeds_are_grouped_by_the_spread_over_seeds(self, rows):
        records = [*rows("student", (0.80, 0.81, 0.82)), *rows("kd", (0.90, 0.92, 0.91))[1:]]
        assert not result_table(records, method="pooled").noise.shared


class TestCommitted:
    def test_each_profile_of_the_committed_records_has_its_table(self):
        found = committed_tables("cifar10-first")
        assert {table.profile for table in found} == {"short"} and all(table.lines for table in found)
        assert {origin for table in found for line in table.lines for origin in line.origins} == {"committed record"}

    def test_an_experiment_without_them_has_none(self):
        assert committed_tables("digits-teacher") == []


class TestClaims:
    @staticmethod
    def claim(rule):
        return SimpleNamespace(statement="Rows differ.", against="They do not.", verdict=rule)

    def test_each_set_of_records_has_its_column(self):
        claim = self.claim(lambda records: f"supported: {len(records)} records")
        shown = claims_table([claim], {"committed": [{}], "this run": [{}, {}]}, caption="Made up.", name="tab-claims")
        assert shown.header[2:] == ("committed", "this run")
        assert shown.rows[0] == ("Rows differ.", "They do not.", "supported: 1 records", "supported: 2 records")

    def test_missing_rows_leave_a_claim_undecided_with_the_reason(self):
        def lacking(records):
            raise ValueError("no record of row dml")

        assert ruling(self.claim(lacking), []) == "undecided: no record of row dml"
        assert ruling(self.claim(lambda records: {}["dml"]), []) == "undecided: there is no record of row dml"

    def test_the_records_of_a_table_are_those_of_its_rows(self, here):
        assert len(records_of(here)) == 6
