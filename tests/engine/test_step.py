"""What a step does with weights, rates and updates, and what the curve says of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from proof import advance, bits
from slide import DATA, PLAIN, Slide, falls, paces, slide, walked
from zoo import SEED, make_run

from kdcore.engine import Run
from kdcore.types import Term


class TestWeights:
    def test_terms_are_summed_by_weight(self):
        _, places = slide(lambda number, batch: {"a": Term(number.value, 2.0), "b": Term(3 * number.value, -0.5)})
        assert paces(places) == pytest.approx([0.1 * (2.0 - 1.5)] * 8)

    def test_a_weight_may_be_a_function_of_progress(self):
        asked = []
        warm = lambda progress: (asked.append(progress), min(1.0, progress / 0.5))[1]
        _, places = slide(lambda number, batch: {"a": Term(number.value, warm)})
        assert asked == [step / 8 for step in range(8)]
        assert paces(places) == pytest.approx([0.1 * weight for weight in (0, 0.25, 0.5, 0.75, 1, 1, 1, 1)])

    def test_progress_begins_anew_in_every_stage(self, world):
        run, asked = make_run("chain", world), []
        note = lambda progress: (asked.append(progress), 1.0)[1]
        for stage in run.stages:
            good = stage.updates[0].losses
            stage.updates[0].losses = lambda batch, good=good: {
                name: term._replace(weight=note) for name, term in good(batch).items() if name == "task"
            }
        advance(run)
        assert asked == [step / 7 for step in range(7)] * 2


class TestRates:
    @pytest.mark.parametrize("schedule", ["constant", "steps", "one-cycle", "cosine"])
    def test_every_step_moves_by_the_rate_of_its_progress(self, schedule):
        recipe = replace(PLAIN, schedule=schedule, milestones=(0.25, 0.75))
        _, places = slide(falls, recipe)
        assert paces(places) == pytest.approx([recipe.rate(step / 8) for step in range(8)], abs=1e-7)

    def test_an_update_may_bring_its_own(self):
        own = replace(PLAIN, learning_rate=0.01, schedule="cosine")
        run = Run("slide", Slide(falls, recipe=own), DATA, PLAIN, SEED)
        assert walked(run) == slide(falls, own)[1] != slide(falls)[1]

    def test_a_stage_may_bring_its_own_length_and_batches(self, world):
        run, sizes = make_run("cadence", world), []
        assert [(clock.steps, clock.steps_per_epoch) for clock in run.clocks] == [(5, 4), (14, 6)]
        losses = run.stages[0].updates[0].losses
        noting = lambda batch: (sizes.append(len(batch.index)), losses(batch))[1]
        for stage in run.stages:
            stage.updates[0].losses = noting
        advance(run)
        assert sizes == [24] * 5 + [16] * 14

    def test_a_gradient_is_cut_to_its_largest_length(self):
        steep = lambda number, batch: {"height": Term(30 * number.value)}
        assert paces(slide(steep)[1]) == pytest.approx([3.0] * 8)
        assert paces(slide(steep, replace(PLAIN, clip=0.5))[1]) == pytest.approx([0.05] * 8, rel=1e-5)
        assert paces(slide(falls, replace(PLAIN, clip=2.0))[1]) == pytest.approx([0.1] * 8)


class TestUpdates:
    def test_every_nth_step(self):
        _, places = slide(falls, every=3)
        assert paces(places) == pytest.approx([0.1, 0, 0, 0.1, 0, 0, 0.1, 0])

    def test_come_in_turn_and_see_what_the_last_one_did(self, world):
        """The second peer's teacher has already learned in this step."""
        run = make_run("two-peers", world)
        losses, seen = run.stages[0].updates[1].losses, []
        before = bits(list(run.scheme.peers[0].parameters()))
        run.stages[0].updates[1].losses = lambda batch: (
            seen.append(bits(list(run.scheme.peers[0].parameters()))),
            losses(batch),
        )[1]
        advance(run, 1)
        assert seen != [before]

    def test_may_fill_the_gradients_themselves(self):
        def backward(terms, parameters):
            (parameter,) = parameters
            parameter.grad = torch.full_like(parameter, 7.0 * terms["height"].weight)

        terms = lambda number, batch: {"height": Term(number.value, lambda progress: 2.0)}
        _, places = slide(terms, backward=backward)
        assert paces(places) == pytest.approx([1.4] * 8)

    def test_without_a_term_are_refused(self):
        with pytest.raises(ValueError, match="update number must return at least one term, got none"):
            slide(lambda number, batch: {})

    def test_with_a_term_that_is_no_number_are_refused(self):
        shape = r"term height of update number must be a single number, got shape \(2,\)"
        with pytest.raises(ValueError, match=shape):
            slide(lambda number, batch: {"height": Term(number.value.expand(2))})

    def test_that_change_their_terms_are_refused(self):
        terms = lambda number, batch: {f"height{batch.clock.step}": Term(number.value)}
        with pytest.raises(ValueError, match="update number changed its terms within an epoch"):
            slide(terms, replace(PLAIN, steps=40))


class TestCurve:
    def test_holds_the_mean_of_every_term_without_its_weight(self):
        run, places = slide(lambda number, batch: {"height": Term(number.value, 0.5)}, replace(PLAIN, steps=40))
        assert [entry["step"] for entry in run.curve] == list(range(2, 41, 2))
        means = [(places[step - 2] + places[step - 1]) / 2 for step in range(2, 41, 2)]
        assert [entry["terms"] for entry in run.curve] == [{"number/height": pytest.approx(mean)} for mean in means]

    def test_has_twenty_points_or_every_step_of_a_short_stage(self, world):
        assert len(slide(falls, replace(PLAIN, steps=200))[0].curve) == 20
        assert len(slide(falls)[0].curve) == 8
        assert [entry["stage"] for entry in advance(make_run("hints", world)).curve] == ["hint"] * 7 + ["main"] * 14

    def test_is_judged_after_every_epoch_where_asked(self, world):
        run = advance(make_run("alone", world))
        assert [(entry["step"], entry["epoch"]) for entry in run.curve] == [(6, 1.0), (12, 2.0), (14, 14 / 6)]
        assert all(set(entry["test"]) == {"accuracy", "cross_entropy"} for entry in run.curve)
        assert run.curve[-1]["test"] == run.result()["student"]

    def test_judges_the_ranked_network_alone(self, world):
        run, judged = make_run("two-peers", world, evaluate="epoch"), []
        for number, peer in enumerate(run.scheme.peers):
            peer.register_forward_pre_hook(
                lambda module, _, number=number: judged.append(number) if not module.training else None
            )
        advance(run, 6)
        assert judged and set(judged) == {0}

    def test_is_plain_data(self, world):
        kinds = {type(value) for entry in advance(make_run("alone", world)).curve for value in entry.values()}
        assert kinds == {str, int, float, dict}
