"""What moved between editions, on made-up records whose means can be worked by hand."""

from kdcore.reporting.changes import changes
from kdcore.reporting.editions import Edition, edition_hash


def edition(date, why, *hashes):
    return Edition(date, edition_hash(hashes), tuple(sorted(hashes)), why)


class TestChanges:
    def test_the_first_edition_tells_its_reason_and_moves_nothing(self, rows):
        told = changes([edition("2026-01-01", "the first", "kd-0", "kd-1")], rows("kd", (0.8, 0.9)))
        assert told == f"- **2026-01-01**, edition `{edition_hash(['kd-0', 'kd-1'])}`, 2 records: the first.\n"

    def test_a_row_that_moved_stands_with_both_means_the_newest_edition_first(self, rows):
        editions = [
            edition("2026-01-01", "the first", "kd-0", "at-0"),
            edition("2026-02-02", "A third seed.", "kd-0", "kd-1", "kd-2", "at-0"),
        ]
        told = changes(editions, [*rows("kd", (0.80, 0.84, 0.82)), *rows("at", (0.7,))])
        assert told.splitlines()[0].endswith("4 records: A third seed.")
        assert told.splitlines()[1] == "  - `kd` (quick, cpu) from 80.00 (1) to 82.00 (3)"
        assert told.count("\n") == 3  # `at` did not move

    def test_rows_come_and_go(self, rows):
        editions = [edition("2026-01-01", "", "kd-0"), edition("2026-02-02", "renamed", "at-0")]
        told = changes(editions, [*rows("kd", (0.8,)), *rows("at", (0.9,))])
        assert "`at` (quick, cpu) is new: 90.00 (1)" in told
        assert "`kd` (quick, cpu) is no longer shown; it was 80.00 (1)" in told
        assert told.rstrip().endswith("no reason given.")

    def test_profiles_are_told_apart(self, rows):
        editions = [edition("2026-01-01", "one", "kd-0"), edition("2026-02-02", "two", "kd-0", "short-0")]
        records = [*rows("kd", (0.8,)), *rows("kd", (0.9,), profile="short", hash="short-0")]
        assert "`kd` (short, cpu) is new: 90.00 (1)" in changes(editions, records)

    def test_a_failed_run_and_another_metric_give_no_mean(self, rows):
        editions = [edition("2026-01-01", "one", "kd-0"), edition("2026-02-02", "two", "kd-0", "at-0")]
        records = [*rows("kd", (0.8,)), *rows("at", (0.9,), status="failed")]
        assert "at" not in changes(editions, records).replace("edition", "")
        assert "new" not in changes(editions, records, "perplexity")

    def test_without_editions_there_is_nothing(self):
        assert changes([], []) == ""
