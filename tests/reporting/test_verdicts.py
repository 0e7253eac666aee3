import math
from dataclasses import replace
from types import SimpleNamespace

import numpy
import pytest
from scipy.stats import t

from kdcore.reporting import Published, result_table
from kdcore.reporting.statistics import paired_difference, pool
from kdcore.reporting.tables import Line
from kdcore.reporting.verdicts import (
    BASELINE,
    NO_VERDICT,
    NOT_REPRODUCED,
    REPRODUCED,
    RULES,
    by_row,
    counts,
    expected_gain,
    judge,
    verdict_table,
    verdicts,
)

STUDENT = (0.90, 0.91, 0.89, 0.90, 0.90)


def experiment(**published):
    rows = [SimpleNamespace(key=key, settings={}, published=value) for key, value in published.items()]
    return SimpleNamespace(key="made-up", title="Made up", rows=rows)


def number(value, **more):
    return Published(value, "si2023", "Table 1", **more)


def moved(by, wobble=(0.001, -0.001, 0.0, 0.001, -0.001)):
    """The student's values moved by a gain that differs a little from seed to seed."""
    return tuple(value + by + one for value, one in zip(STUDENT, wobble))


@pytest.fixture
def judged(rows):
    """The verdict on one row whose gain here and published are given."""

    def make(values, published, *, base=0.90, profile="paper", setting=("paper",), student=STUDENT, **more):
        records = [*rows("student", student, profile=profile), *rows("kd", values, profile=profile, **more)]
        own = experiment(student=None if base is None else number(base), kd=published)
        (found,) = verdicts(records, own, setting=setting)
        return found

    return make


class TestLabels:
    def test_a_published_gain_like_ours_is_reproduced(self, judged):
        found = judged(moved(0.05), number(0.955))
        assert found.labels == (REPRODUCED,) and found.gain == pytest.approx(0.055)

    def test_a_published_gain_far_above_ours_is_not_and_ours_is_smaller(self, judged):
        assert judged(moved(0.02), number(0.99)).labels == (f"{NOT_REPRODUCED}, ours is smaller",)

    def test_a_published_gain_far_below_ours_is_not_and_ours_is_larger(self, judged):
        assert judged(moved(0.05), number(0.88)).labels == (f"{NOT_REPRODUCED}, ours is larger",)

    def test_no_gain_cannot_be_told_from_the_baseline_and_a_large_one_was_not_reproduced(self, judged):
        found = judged(moved(0.0002), number(0.97))
        assert found.labels == (BASELINE, f"{NOT_REPRODUCED}, ours is smaller")

    def test_no_gain_here_and_none_published_is_both_indistinct_and_reproduced(self, judged):
        found = judged(moved(0.0002), number(0.901))
        assert found.labels == (BASELINE, REPRODUCED) and found.text == f"{BASELINE}; {REPRODUCED}"

    def test_a_row_that_nobody_published_stands_to_the_baseline_alone(self, judged):
        assert judged(moved(0.05), None).labels == ("above the baseline",)
        assert judged(moved(-0.05), None).labels == ("below the baseline",)
        assert judged(moved(0.0002), None).labels == (BASELINE,)


class TestNoVerdict:
    @pytest.mark.parametrize("n", [1, 2])
    def test_too_few_seeds(self, judged, n):
        found = judged(moved(0.05)[:n], number(0.95), student=STUDENT[:n])
        assert (
            found.labels == (NO_VERDICT,) and f"{n} paired seed" in found.because and "no fewer than 3" in found.because
        )

    def test_a_row_that_is_not_there(self, rows):
        (found,) = verdicts(rows("student", STUDENT, profile="paper"), experiment(student=None, kd=number(0.95)))
        assert (found.labels, found.because) == ((NO_VERDICT,), "it has not been run")

    def test_a_failed_seed(self, rows, failed):
        records = [*rows("student", STUDENT), *rows("kd", moved(0.05)[:4]), failed("kd", 4)]
        assert by_row(verdicts(records))["kd"][1:3] == ((NO_VERDICT,), "one of its seeds failed")

    def test_no_student(self, rows):
        (found,) = verdicts(rows("kd", moved(0.05)), experiment(student=None, kd=number(0.95)))
        assert found.labels == (NO_VERDICT,) and found.because == "the reference student has no finished run"

    def test_a_gain_that_is_the_same_for_every_seed_has_no_interval(self, judged):
        found = judged(tuple(value + 0.05 for value in STUDENT), number(0.95))
        assert found.labels == (NO_VERDICT,) and "same for every seed" in found.because

    def test_another_setting_judges_the_row_and_not_the_publication(self, judged):
        found = judged(moved(0.05), number(0.95), profile="quick")
        assert found.labels == ("above the baseline",) and "not the publication's setting" in found.because
        assert judged(moved(0.0002), number(0.95), profile="quick").labels == (BASELINE,)
        assert judged(moved(0.05), number(0.955), profile="quick", setting=("quick",)).labels == (REPRODUCED,)

    def test_a_publication_without_a_student_alone(self, judged):
        found = judged(moved(0.05), number(0.95), base=None)
        assert found.labels == ("above the baseline",) and "no student without a teacher" in found.because


class TestBaseline:
    def test_a_number_may_bring_its_own(self, judged):
        assert judged(moved(0.05), number(0.80, baseline=0.75)).gain == pytest.approx(0.05)

    def test_it_is_never_another_publications(self, rows):
        records = [*rows("student", STUDENT, profile="paper"), *rows("kd", moved(0.05), profile="paper")]
        own = experiment(student=Published(0.9, "zhao2026", "Table 2"), kd=number(0.95))
        assert verdicts(records, own)[0].gain is None

    def test_the_same_publication_under_another_protocol_will_do_where_there_is_one(self, rows):
        records = [*rows("student", STUDENT, profile="paper"), *rows("kd", moved(0.05), profile="paper")]
        one, two = Published(0.9, "si2023", "alone"), Published(0.8, "si2023", "alone, longer")
        assert verdicts(records, experiment(student=one, kd=number(0.95)))[0].gain == pytest.approx(0.05)
        assert verdicts(records, experiment(student=[one, two], kd=number(0.95)))[0].gain is None


class TestEpochs:
    """The made-up records have their best epoch one point above the last, the student's two points."""

    @pytest.fixture
    def records(self, rows):
        records = [*rows("student", STUDENT, profile="paper"), *rows("kd", moved(0.05), profile="paper")]
        for record in records:
            record["best"] = {"accuracy": record["last"]["accuracy"] + (0.02 if record["row"] == "student" else 0.01)}
        return records

    @pytest.mark.parametrize(
        ("selection", "which", "gain"), [("last", "last", 0.05), ("best", "best", 0.04), ("unknown", "last", 0.05)]
    )
    def test_like_is_compared_with_like(self, records, selection, which, gain):
        (found,) = verdicts(records, experiment(student=number(0.9), kd=number(0.95, selection=selection)))
        assert found.which == which and found.ours.mean == pytest.approx(gain)

    def test_a_protocol_that_names_the_epoch_is_enough(self, records):
        kd = Published(0.95, "si2023", "Table 1, best epoch")
        assert verdicts(records, experiment(student=number(0.9), kd=kd))[0].which == "best"

    def test_a_best_number_is_not_compared_with_a_last_epoch(self, records):
        table = result_table(records, experiment(student=number(0.9), kd=number(0.95, selection="best")))
        (found,) = judge(table)
        assert (found.labels, found.because) == ((NO_VERDICT,), "no best epochs were recorded")

    def test_runs_that_judged_no_epoch_have_no_best_one(self, records):
        for record in records:
            record["best"] = None
        (found,) = verdicts(records, experiment(student=number(0.9), kd=number(0.95, selection="best")))
        assert (found.labels, found.because) == ((NO_VERDICT,), "no best epochs were recorded")

    def test_where_the_publication_is_not_judged_the_last_epoch_is_told_from_the_baseline(self, records):
        own = experiment(student=number(0.9), kd=number(0.95, selection="best"))
        (found,) = verdicts(records, own, setting=())
        assert (found.which, found.labels) == ("last", ("above the baseline",))

    def test_one_row_may_be_judged_beside_two_publications(self, records):
        own = experiment(student=number(0.9), kd=[number(0.95), number(0.99, selection="best")])
        found = verdicts(records, own)
        assert [one.which for one in found] == ["last", "best"] and by_row(found)["kd"] is found[0]


class TestExpectation:
    def test_by_hand(self, judged):
        """Student's variance 5e-5 and KD's, pooled; our error from five paired differences."""
        values = moved(0.05)
        found = judged(values, number(0.955, runs=4))
        gains = [mine - theirs for mine, theirs in zip(values, STUDENT)]
        error = numpy.std(gains, ddof=1) / math.sqrt(5)
        spread = math.sqrt((numpy.var(STUDENT, ddof=1) + numpy.var(values, ddof=1)) / 2)
        half = t.ppf(0.975, 4) * math.sqrt(error**2 + 2 * spread**2 / 4)
        assert found.expected == pytest.approx((numpy.mean(gains) - half, numpy.mean(gains) + half), rel=1e-9)

    def test_more_published_runs_are_expected_closer_and_none_stated_is_one(self, judged):
        width = lambda **more: -numpy.subtract(*judged(moved(0.05), number(0.95, **more)).expected)
        assert width() == width(runs=1) > width(runs=3) > width(runs=30)

    def test_what_the_same_experiment_would_print_lies_in_it_as_often_as_it_says(self, three_rows):
        """Publications of three runs with seeds of their own, from the same truth as our eight paired ones."""
        random, table, inside = numpy.random.default_rng(3), result_table(three_rows), 0
        for _ in range(1000):
            student, kd = (dict(enumerate(random.normal(mean, 0.01, 8))) for mean in (0.90, 0.93))
            pooled = pool({"student": list(student.values()), "kd": list(kd.values())})
            seen = replace(table, noise=table.noise._replace(pooled=pooled))
            low, high = expected_gain(Line("kd", "done", difference=paired_difference(kd, student)), seen, runs=3)
            inside += low <= random.normal(0.93, 0.01, 3).mean() - random.normal(0.90, 0.01, 3).mean() <= high
        assert inside / 1000 == pytest.approx(0.955, abs=0.018)

    @pytest.fixture
    def wild(self, rows):
        """Six calm rows of four seeds, the student among them, and one that scatters thirty times as much."""
        calm = {
            f"row-{n}": [0.90 + n / 100 + 0.001 * math.sin(5 * n + 7 * seed) for seed in range(4)] for n in range(6)
        }
        calm["student"] = calm.pop("row-0")
        return calm, {"wild": [0.90 + 0.03 * side for side in (1, -1, -1, 1)]}

    def expected(self, rows, values, key):
        records = [record for row, each in values.items() for record in rows(row, tuple(each), profile="paper")]
        published = {row: number(0.95) for row in values}
        found = verdicts(records, experiment(**published), method="t")
        return next(one for one in found if one.row == key).expected

    def test_of_calm_rows_does_not_hang_on_one_that_scatters_more(self, rows, wild):
        calm, other = wild
        alone, beside = (self.expected(rows, values, "row-3") for values in (calm, calm | other))
        assert beside == pytest.approx(alone, rel=1e-9)

    def test_of_a_row_that_scatters_more_rests_on_its_own_spread(self, rows, wild):
        calm, other = wild
        low, high = self.expected(rows, calm | other, "wild")
        own = numpy.std(other["wild"], ddof=1)
        shared = math.sqrt(numpy.mean([numpy.var(values, ddof=1) for values in calm.values()]))
        error = numpy.std(numpy.subtract(other["wild"], calm["student"]), ddof=1) / 2
        half = t.ppf(0.975, 3) * math.sqrt(error**2 + own**2 + shared**2)
        assert (high - low) / 2 == pytest.approx(half, rel=1e-9)


class TestShown:
    def test_the_table_has_a_line_a_verdict_and_every_rule(self, rows):
        records = [*rows("student", STUDENT, profile="paper"), *rows("kd", moved(0.05), profile="paper")]
        own = experiment(student=number(0.9), kd=number(0.955), dkd=number(0.96))
        table, found = result_table(records, own), verdicts(records, own)
        shown = verdict_table(found, table, caption="Verdicts.")
        assert [row[0] for row in shown.rows] == ["`kd`", "`dkd`"] and set(RULES) <= set(shown.notes)
        assert shown.rows[0][1:3] == ("unknown, last", "+5.5") and shown.rows[0][-1] == REPRODUCED
        assert shown.rows[1][-1] == f"{NO_VERDICT}: it has not been run"
        assert "n = 5 seeds" in shown.caption and "profile paper" in shown.caption.lower()

    def test_another_setting_is_said(self, three_rows):
        shown = verdict_table(verdicts(three_rows), result_table(three_rows))
        assert any("not the publications' setting" in note for note in shown.notes)

    def test_labels_are_counted_without_their_direction(self, judged):
        found = [judged(moved(0.0002), number(0.97)), judged(moved(0.02), number(0.99)), judged(moved(0.05), None)]
        assert counts(found) == {BASELINE: 1, NOT_REPRODUCED: 2, "above the baseline": 1}
