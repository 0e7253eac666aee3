"""Each rule can give every verdict; what needs no training is judged for real."""

import pytest

from kdcore.claims.mechanism import HIGH_TEMPERATURE, T2


class TestT2:
    def records(self, records, *, plain=-2.0, squared=0.0, off=0.0, seeds=5):
        """`off` is what the last seed lies further off."""
        slope = lambda mean: lambda seed: {"slope": mean + 0.01 * (seed % 3) + off * (seed == seeds - 1)}
        rows = {"unscaled": slope(plain), "scaled": slope(squared)}
        measured = [one for row, last in rows.items() for one in records.made(row, last, seeds)]
        trained = (
            records.accuracy(row, mean, seeds=seeds) for row, mean in (("kd-t20", 0.94), ("kd-t20-unscaled", 0.9))
        )
        return [*measured, *(one for rows in trained for one in rows)]

    @pytest.mark.parametrize(
        ("said", "numbers"),
        [
            ("supported", {}),
            ("supported", {"seeds": 2}),
            ("contradicted", {"plain": -1.0, "squared": 1.0}),
            ("contradicted", {"plain": -3.0, "squared": -0.5}),
            ("undecided", {"plain": -1.5}),
            ("undecided", {"squared": 0.4}),
            ("undecided", {"off": 0.3}),
        ],
    )
    def test_every_verdict_can_be_given(self, records, said, numbers):
        assert T2.rule(self.records(records, **numbers)).word == said

    def test_says_what_the_factor_is_worth_in_training(self, records):
        because = T2.rule(self.records(records)).because
        assert "to the power -1.99" in because and "the factor is worth +4.0 points" in because

    def test_the_unscaled_row_differs_from_the_scaled_one_by_the_squared_temperature(self):
        (with_factor, without) = (
            T2.experiment.row(key).settings["methods"][0][1] for key in ("kd-t20", "kd-t20-unscaled")
        )
        default = 0.9
        assert without["weight"] * with_factor["temperature"] ** 2 == pytest.approx(default)


class TestHighTemperature:
    def records(self, records, *, both=1e-4, student=0.3, raw=0.6, exact=1e-4, half=1e-16):
        at = lambda printed: (
            lambda seed: {
                "printed": {"10000": printed * (1 + 0.1 * seed)},
                "exact": {"10000": exact},
                "uniform": {"10000": 1e-4},
                "half_square": half,
            }
        )
        rows = {"both-centred": at(both), "student-centred": at(student), "raw": at(raw)}
        return [one for row, last in rows.items() for one in records.made(row, last, 3)]

    @pytest.mark.parametrize(
        ("said", "numbers"),
        [
            ("supported", {}),
            ("contradicted", {"both": 0.2}),
            ("contradicted", {"exact": 0.2}),
            ("contradicted", {"half": 0.5}),
            ("undecided", {"student": 1e-5}),
            ("undecided", {"raw": 1e-5}),
        ],
    )
    def test_every_verdict_can_be_given(self, records, said, numbers):
        assert HIGH_TEMPERATURE.rule(self.records(records, **numbers)).word == said

    def test_is_supported_when_it_is_measured(self, store):
        verdict = HIGH_TEMPERATURE.judge("smoke")
        assert verdict.word == "supported" and "0.32 with the student's alone" in verdict.because
