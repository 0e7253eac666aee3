"""Each rule can give every verdict; what the experiments need is there."""

import pytest

from kdcore.claims.feature import FEATURE_BEATS_RESPONSE, ROWS, WHERE
from kdcore.losses.feature.mapping import block_by_block, last, layer_by_layer, skip, top


class TestFeatureBeatsResponse:
    def records(self, records, *, better=0.95, worse=0.92, share=0.8, kd=0.94, seeds=3):
        """A share of the rows at the one accuracy, the rest at the other."""
        count = round(share * len(ROWS))
        rows = {row: better if number < count else worse for number, row in enumerate(ROWS)} | {"kd": kd}
        return [one for row, mean in rows.items() for one in records.accuracy(row, mean, 0.001, seeds)]

    @pytest.mark.parametrize(
        ("said", "numbers"),
        [
            ("supported", {}),
            ("supported", {"share": 1.0, "better": 0.99}),
            ("contradicted", {"share": 0.2}),
            ("contradicted", {"share": 0.0}),
            ("undecided", {"better": 0.94, "share": 1.0}),
            ("undecided", {"seeds": 2}),
        ],
    )
    def test_every_verdict_can_be_given(self, records, said, numbers):
        assert FEATURE_BEATS_RESPONSE.rule(self.records(records, **numbers)).word == said

    def test_says_the_median_and_how_many_lie_above(self, records):
        because = FEATURE_BEATS_RESPONSE.rule(self.records(records)).because
        assert f"the median of {len(ROWS)} rows" in because and "from kd" in because
        assert f"{round(0.8 * len(ROWS))} of them have a higher mean" in because

    def test_a_failed_run_leaves_it_undecided(self, records):
        made = self.records(records)
        made[0]["status"] = "failed"
        assert FEATURE_BEATS_RESPONSE.verdict(made).word == "undecided"

    def test_reads_every_row_of_the_chapter_but_the_two_references(self):
        rows = {row.key for row in FEATURE_BEATS_RESPONSE.experiment.rows}
        assert rows == {*ROWS, "student", "kd"} and len(ROWS) >= 12


class TestLayerMappingStrategies:
    def records(self, records, *, skip=0.95, low=0.92, top=0.93, student=0.86, seeds=5):
        rows = {"skip": skip, "layer-by-layer": low, "top": top, "student": student}
        return [one for row, mean in rows.items() for one in records.accuracy(row, mean, seeds=seeds)]

    @pytest.mark.parametrize(
        ("said", "numbers"),
        [
            ("supported", {}),
            ("contradicted", {"low": 0.98}),
            ("contradicted", {"top": 0.98}),
            ("undecided", {"low": 0.95}),
            ("undecided", {"top": 0.95}),
            ("undecided", {"seeds": 2}),
        ],
    )
    def test_every_verdict_can_be_given(self, records, said, numbers):
        assert WHERE.rule(self.records(records, **numbers)).word == said

    def test_says_the_gaps_that_decide(self, records):
        because = WHERE.rule(self.records(records)).because
        assert "by number +3.0 points" in because and "alone +2.0 points" in because

    def test_the_rows_are_what_the_mapping_functions_give_for_two_and_four_layers(self):
        def pairs(key):
            ((method, settings),) = WHERE.experiment.row(key).settings["methods"]
            assert method == "at"
            return tuple(map(tuple, settings["pairs"]))

        assert pairs("layer-by-layer") == layer_by_layer(2, 4) and pairs("top") == top(2, 4)
        assert pairs("skip") == skip(2, 4) == block_by_block((1, 1), (2, 2)) and pairs("last") == last(2, 4, 2)
