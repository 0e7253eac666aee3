import numpy
import pytest

from kdcore.reporting import result_table
from kdcore.reporting.resampling import DRAWS, interval_table, moved, resampled


@pytest.fixture
def tabled(rows):
    """A table from row to values over the seeds 0, 1, 2, ..."""

    def make(values, **options):
        records = [record for key, each in values.items() for record in rows(key, tuple(map(float, each)))]
        return result_table(records, **{"method": "pooled", **options})

    return make


def drawn(random, count=8, n=3, noise=None):
    """Rows of one truth, with a luck of each seed that all rows share."""
    noise = noise or (lambda: random.normal(scale=0.01, size=n))
    luck = random.normal(scale=0.03, size=n)
    return {
        ("student", *(f"r{place}" for place in range(1, count)))[place]: 0.8 + luck + noise() for place in range(count)
    }


def naive(values, row, draws, level=0.95):
    """Straight from the words, by means of rows and of seeds, for rows that all have the same seeds."""
    whole = numpy.array(list(values.values()))
    left = lambda table: table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    freedom, n = (whole.shape[0] - 1) * (whole.shape[1] - 1), whole.shape[1]
    place, random, ratios = list(values).index(row), numpy.random.default_rng(0), []
    for each in random.choice(left(whole).flatten(), (draws, whole.size)):
        table = each.reshape(whole.shape)
        spread = numpy.sqrt((left(table) ** 2).sum() / freedom)
        ratios.append((table[place] - table[0]).mean() / (spread * numpy.sqrt(2 / n)))
    least, most = numpy.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    error = numpy.sqrt((left(whole) ** 2).sum() / freedom) * numpy.sqrt(2 / n)
    gain = (whole[place] - whole[0]).mean()
    return gain - most * error, gain - least * error


class TestResampled:
    @pytest.mark.parametrize("n", [2, 3, 5])
    def test_is_what_the_words_say(self, tabled, n):
        values = drawn(numpy.random.default_rng(n), n=n)
        found = resampled(tabled(values), draws=500)
        assert set(found) == set(values) - {"student"}
        for row in ("r1", "r7"):
            assert tuple(found[row]) == pytest.approx(naive(values, row, 500), rel=1e-9)

    def test_bell_curves_give_the_t_interval(self, tabled):
        table = tabled(drawn(numpy.random.default_rng(0), count=60, n=5))
        found = resampled(table)
        for line in table.lines:
            if line.difference:
                half = (line.difference.high - line.difference.low) / 2
                ends = (line.difference.low, line.difference.high)
                assert tuple(found[line.key]) == pytest.approx(ends, abs=0.05 * half)

    @pytest.mark.parametrize("kind", ["normal", "skewed"])
    def test_covers_the_truth_as_often_as_it_says(self, tabled, kind):
        random = numpy.random.default_rng(1)
        skewed = lambda: random.exponential(0.01, size=3)
        inside = [
            one.low <= 0 <= one.high
            for _ in range(60)
            for one in resampled(
                tabled(drawn(random, 12, noise=skewed if kind == "skewed" else None)), draws=1000
            ).values()
        ]
        assert len(inside) > 500 and numpy.mean(inside) == pytest.approx(0.95, abs=0.03)

    def test_a_row_that_is_better_by_so_much_has_an_interval_higher_by_so_much(self, tabled):
        values = drawn(numpy.random.default_rng(2))
        before, after = resampled(tabled(values)), resampled(tabled(values | {"r3": values["r3"] + 0.05}))
        assert tuple(after["r3"]) == pytest.approx((before["r3"].low + 0.05, before["r3"].high + 0.05), rel=1e-9)
        assert tuple(after["r4"]) == pytest.approx(before["r4"], rel=1e-9)

    def test_another_level_is_another_width(self, tabled):
        values = drawn(numpy.random.default_rng(2))
        wide, narrow = (resampled(tabled(values, level=level))["r1"] for level in (0.99, 0.8))
        assert wide.low < narrow.low < narrow.high < wide.high

    def test_a_row_that_scatters_more_lends_nothing_and_gets_none(self, tabled):
        calm = drawn(numpy.random.default_rng(3))
        found = resampled(tabled(calm | {"wild": calm["r1"] + numpy.array([0.5, -0.5, 0.1])}))
        alone = resampled(tabled(calm))
        assert set(found) == set(alone) == set(calm) - {"student"}
        assert all(tuple(found[row]) == pytest.approx(alone[row], rel=1e-9) for row in alone)

    def test_nothing_where_rows_share_no_spread(self, tabled, three_rows):
        values = drawn(numpy.random.default_rng(4))
        assert resampled(tabled(values, method="t")) == {}
        assert resampled(tabled({row: each[:1] for row, each in values.items()})) == {}
        assert (
            resampled(tabled({row: each for row, each in values.items() if row != "student"}, reference="none")) == {}
        )


class TestShown:
    def test_both_intervals_stand_beside_each_gain(self, tabled):
        values = drawn(numpy.random.default_rng(3))
        table = tabled(values | {"wild": values["r1"] + numpy.array([0.5, -0.5, 0.1])})
        shown = interval_table(table, caption="Gains.")
        assert [row[0] for row in shown.rows] == [f"`{row}`" for row in (*list(values)[1:], "wild")]
        assert shown.rows[-1][-1] == "–" != shown.rows[-1][-2] and f"{DRAWS:,} draws" in shown.notes[0]
        low = table.metric.show(resampled(table)["r1"].low, table.decimals, signed=True)
        assert shown.rows[0][-1].startswith(f"{low} to ")

    def test_the_largest_move_of_an_end_is_told(self, tabled):
        table = tabled(drawn(numpy.random.default_rng(5)))
        pairs = {line.key: line.difference for line in table.lines if line.difference}
        ends = [
            abs(a - b) for key, one in resampled(table).items() for a, b in zip(one, (pairs[key].low, pairs[key].high))
        ]
        assert moved(table) == f"{100 * max(ends):.2f} points at most"
        assert "share a spread" in moved(tabled(drawn(numpy.random.default_rng(5)), method="t"))
