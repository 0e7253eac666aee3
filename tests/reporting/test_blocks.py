import itertools
import math

import numpy
import pytest

from kdcore.reporting import result_table
from kdcore.reporting.blocks import residual
from kdcore.reporting.statistics import paired_difference, pool


def seeds(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


def naive(rows: dict[str, dict[int, float]]) -> tuple[float, int]:
    """Value minus row's mean minus seed's mean plus grand mean, for rows that all have the same seeds."""
    table = [list(values.values()) for values in rows.values()]
    mean = lambda values: sum(values) / len(values)
    grand = mean([value for row in table for value in row])
    columns = [mean(column) for column in zip(*table)]
    left = [value - mean(row) - columns[seed] + grand for row in table for seed, value in enumerate(row)]
    freedom = (len(table) - 1) * (len(columns) - 1)
    return math.sqrt(sum(value**2 for value in left) / freedom), freedom


class TestResidual:
    def test_is_what_row_and_seed_leave(self):
        random = numpy.random.default_rng(0)
        rows = {name: seeds(*random.normal(size=4)) for name in "abcde"}
        found = residual(rows)
        assert (found.std, found.freedom) == (pytest.approx(naive(rows)[0], rel=1e-12), 12)

    def test_of_two_rows_is_the_spread_of_their_difference(self):
        rows = {"a": seeds(1.0, 4.0, 2.0), "b": seeds(2.0, 2.5, 7.0)}
        found, pair = residual(rows), paired_difference(rows["a"], rows["b"])
        assert found.std * math.sqrt(2) == pytest.approx(pair.std) and found.freedom == 2
        same = paired_difference(rows["a"], rows["b"], pooled=found)
        assert (same.low, same.high, same.p) == pytest.approx((pair.low, pair.high, pair.p), rel=1e-12)

    def test_what_a_seed_does_to_all_rows_alike_is_no_noise(self):
        random = numpy.random.default_rng(1)
        rows = {name: seeds(*random.normal(size=5)) for name in "abc"}
        luck = random.normal(scale=100.0, size=5)
        shifted = {name: {seed: value + luck[seed] for seed, value in row.items()} for name, row in rows.items()}
        assert residual(shifted).std == pytest.approx(residual(rows).std, rel=1e-9)
        assert pool({name: list(row.values()) for name, row in shifted.items()}).std > 10

    def test_rows_need_not_have_the_same_seeds(self):
        rows = {"a": seeds(1.0, 2.0, 4.0), "b": seeds(2.0, 5.0), "c": {1: 1.0, 2: 3.5}}
        found = residual(rows)
        cells = [(row, seed, value) for row, values in rows.items() for seed, value in values.items()]
        design = numpy.array([[at == row for at in "abc"] + [at == seed for at in range(3)] for row, seed, _ in cells])
        values = numpy.array([value for *_, value in cells])
        left = values - design @ numpy.linalg.pinv(design.astype(float)) @ values
        assert found.freedom == 7 - 5 and found.std == pytest.approx(math.sqrt((left**2).sum() / 2))

    def test_a_row_without_spread_is_left_out_and_named(self):
        rows = {"a": seeds(1.0, 4.0, 2.0), "b": seeds(2.0, 2.5, 7.0)}
        found = residual(rows | {"fixed": seeds(3.0, 3.0, 3.0), "once": {0: 1.0}})
        assert found == residual(rows)._replace(still=("fixed",))

    @pytest.mark.parametrize(
        "rows",
        [{}, {"a": seeds(1.0, 2.0)}, {"a": {0: 1.0}, "b": {0: 2.0}}, {"a": seeds(1.0, 2.0), "b": seeds(2.0, 3.0)}],
    )
    def test_nothing_left_gives_nothing(self, rows):
        assert residual(rows) is None

    def test_intervals_from_it_cover_the_truth_as_often_as_they_say(self):
        random = numpy.random.default_rng(2)
        covered = tried = 0
        for _ in range(250):
            luck = random.normal(scale=3.0, size=3)
            rows = {name: seeds(*(random.normal(size=3) + luck)) for name in "abcdefgh"}
            common = residual(rows)
            for a, b in itertools.islice(itertools.combinations(rows, 2), 7):
                found = paired_difference(rows[a], rows[b], pooled=common)
                covered, tried = covered + (found.low <= 0.0 <= found.high), tried + 1
        assert covered / tried == pytest.approx(0.95, abs=0.02)


class TestRestless:
    """A row that clearly scatters more than the others says nothing of theirs, nor they of its."""

    def alike(self, random, count=12, n=3):
        return {f"r{place:02}": seeds(*random.normal(size=n)) for place in range(count)}

    def test_a_wild_row_is_left_out_and_named(self):
        rows = self.alike(numpy.random.default_rng(3))
        found = residual(rows | {"wild": seeds(30.0, -25.0, 4.0), "wilder": seeds(-300.0, 250.0, 10.0)})
        assert set(found.restless) == {"wild", "wilder"}
        assert (found.std, found.freedom) == pytest.approx((residual(rows).std, residual(rows).freedom))

    def test_one_wild_row_does_not_hide_behind_another(self):
        """Both at once make a spread in which either is nothing special."""
        rows = self.alike(numpy.random.default_rng(3), 6)
        found = residual(rows | {"wild": seeds(9.0, -9.0, 0.0), "wilder": seeds(-12.0, 6.0, 6.0)})
        assert found.restless == ("wilder", "wild")

    def test_rows_that_scatter_alike_are_rarely_called_restless(self):
        random = numpy.random.default_rng(4)
        called = sum(bool(residual(self.alike(random, n=n)).restless) for n in (2, 3, 5) for _ in range(200))
        assert called <= 12  # 6 are expected of 600 at 1 %

    def test_twice_the_spread_is_not_yet_another_kind(self):
        random = numpy.random.default_rng(5)
        called = sum(
            bool(residual(self.alike(random) | {"more": seeds(*random.normal(scale=2.0, size=3))}).restless)
            for _ in range(200)
        )
        assert called < 40

    def test_of_few_rows_none_is_called_so(self):
        assert not residual(self.alike(numpy.random.default_rng(6), 3) | {"wild": seeds(30.0, -25.0, 4.0)}).restless


class TestTable:
    def test_a_wild_row_is_compared_by_its_own_spread_and_the_note_says_so(self, rows):
        random = numpy.random.default_rng(7)
        means = {"student": 0.8} | {f"m{k}": 0.83 for k in range(10)}
        records = [one for key, mean in means.items() for one in rows(key, tuple(mean + 0.002 * random.normal(size=3)))]
        wild = rows("wild", (0.99, 0.60, 0.85))
        table = result_table([*records, *wild])
        assert table.method == "pooled" and table.noise.residual.restless == ("wild",)
        pair = paired_difference({0: 0.99, 1: 0.60, 2: 0.85}, table.lines[0].values)
        shown = {line.key: line for line in table.lines}
        assert shown["wild"].difference == pair and {shown[f"m{k}"].word for k in range(10)} == {"above"}
        assert any("`wild` scatters more and is compared by its own" in note for note in table.notes)
        assert not any("wild" in group for group in table.noise.groups)

    def test_three_seeds_of_many_rows_tell_what_one_pair_cannot(self, rows):
        wobble = ((1, -2, 1), (0, 2, -2), (-1, 1, 0), (2, -1, -1), (-2, 0, 2))
        table = {f"m{k}": tuple(0.82 + 0.003 * one for one in each) for k, each in enumerate(wobble)}
        records = [*rows("student", (0.80, 0.801, 0.799)), *(one for key in table for one in rows(key, table[key]))]
        alone, together = (result_table(records, method=method) for method in ("t", "pooled"))
        assert "not told apart" in {line.word for line in alone.lines[1:]}
        assert {line.word for line in together.lines[1:]} == {"above"}
        assert any("from one spread of all rows about row and seed" in note for note in together.notes)
        line = together.lines[1]
        assert together.between(line.key, "student") == line.difference

    def test_without_a_common_spread_it_is_the_plain_interval(self, rows):
        records = [*rows("student", (0.80, 0.80, 0.80)), *rows("kd", (0.90, 0.91, 0.92))]
        pair = [result_table(records, method=method).lines[1].difference for method in ("t", "pooled")]
        assert pair[0] == pair[1]
