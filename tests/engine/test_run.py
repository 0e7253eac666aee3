"""One run: what it trains, in which mode, by which rate and weight, and what it writes down."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from proof import advance, bits, digest
from torch import nn
from zoo import RECIPE, SEED, make_run

from kdcore.engine import Recipe, Run, fit
from kdcore.randomness import seed_layers
from kdcore.types import Clock, Data, Outputs, Scheme, Stage, Task, Term, Update

PLAIN = Recipe(steps=8, batch_size=4, learning_rate=0.1, momentum=0.0, weight_decay=0.0, schedule="constant")


class Number(nn.Module):
    """One number, asked for by nothing."""

    def __init__(self, start: float = 1.0):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(start))

    def forward(self, inputs):
        return Outputs(self.value * inputs)


class Slide(Scheme):
    """Loses what its terms say, as functions of its one number and the batch."""

    def __init__(self, terms, number=None, **settings):
        super().__init__()
        self.number, self.terms, self.settings = number or Number(), terms, settings

    def stages(self):
        return [Stage("main", [Update("number", [self.number], lambda b: self.terms(self.number, b), **self.settings)])]

    def delivers(self):
        return {"number": self.number}


DATA = Data(torch.zeros(16, 1), torch.zeros(16, dtype=torch.long), Task(), {"weak": lambda x, random: x}, classes=2)


def slide(terms, recipe=PLAIN, **settings) -> tuple[Run, list[float]]:
    """A run and where its number stood before every step and at the end."""
    run = Run("slide", Slide(terms, **settings), DATA, recipe, SEED)
    return run, walked(run)


def walked(run: Run) -> list[float]:
    places = [run.scheme.number.value.item()]
    while run.active:
        run.advance()
        places.append(run.scheme.number.value.item())
    return places


def falls(number, batch):
    """A slope of one, whatever the batch."""
    return {"height": Term(number.value)}


def paces(places: list[float]) -> list[float]:
    return [before - after for before, after in pairwise(places)]


def gradients(run: Run) -> dict[str, str | None]:
    return {name: None if p.grad is None else bits(p.grad) for name, p in run.scheme.named_parameters()}


def at_every_optimiser(run: Run) -> list[tuple[int, dict[str, str | None]]]:
    """All gradients of the run as they stand whenever an optimiser is about to step."""
    seen = []

    def noting(number, step):
        return lambda *args, **kwargs: (seen.append((number, gradients(run))), step(*args, **kwargs))[1]

    for number, (_, optimizer) in enumerate(run.optimizers):
        optimizer.step = noting(number, optimizer.step)
    return seen


class TestRouting:
    def test_what_the_student_lowers_reaches_no_critic(self, world):
        run = make_run("critic", world)
        seen = at_every_optimiser(run)
        advance(run, 2)
        first, second, third, _ = [found for _, found in seen]
        critic = [name for name in first if "critic" in name]
        student = [name for name in first if "student" in name and "early" not in name]
        assert critic and all(first[name] is None for name in critic)
        assert all(first[name] == second[name] for name in student)
        assert all(second[name] is not None and third[name] == second[name] for name in critic)

    def test_each_peer_receives_its_own_losses_alone(self, world):
        run = make_run("two-peers", world)
        seen = at_every_optimiser(run)
        advance(run, 1)
        (_, first), (_, second) = seen
        assert all(first[name] is None for name in first if name.startswith("peers.1"))
        assert all(first[name] == second[name] for name in first if name.startswith("peers.0"))

    @pytest.mark.parametrize("name", ["chain", "hints"])
    def test_what_a_stage_does_not_train_stays_to_the_bit(self, world, name):
        run = make_run(name, world)
        while run.active:
            stage = run.stages[run.at]
            trained = {id(t) for u in stage.updates for m in u.trains for t in (*m.parameters(), *m.buffers())}
            resting = [t for t in (*run.scheme.parameters(), *run.scheme.buffers()) if id(t) not in trained]
            before, moving = bits(resting), bits(list(run.scheme.parameters()))
            advance(run, run.clock.steps)
            assert bits(resting) == before and bits(list(run.scheme.parameters())) != moving

    def test_data_that_must_not_be_read_are_not(self, world):
        with pytest.raises(PermissionError):
            make_run("invented", world).data.batch(0, Clock(0, 1, 1), 4).view("plain")
        assert advance(make_run("invented", world)).failed is None

    def test_gradients_of_one_step_are_not_added_to_the_next(self):
        _, places = slide(falls)
        assert paces(places) == pytest.approx([0.1] * 8)


class TestModes:
    def test_only_what_a_stage_trains_learns_and_is_in_train_mode(self, world):
        run = make_run("hints", world)
        student, adapter = run.scheme.student, run.scheme.methods[0].adapter
        assert student.low.training and student.low_norm.training and adapter.training
        assert not student.high_norm.training and not student.dropout.training
        assert all(p.requires_grad for p in (*student.low.parameters(), *adapter.parameters()))
        assert not any(p.requires_grad for p in (*student.high.parameters(), *student.late.parameters()))
        advance(run, run.clock.steps)
        assert all(module.training for module in student.modules())
        assert all(p.requires_grad for p in student.parameters())

    def test_everything_rests_when_all_is_done(self, world):
        run = advance(make_run("three-peers", world))
        assert not any(module.training for module in run.scheme.modules())
        assert not any(p.requires_grad for p in run.scheme.parameters())
        assert run.optimizers == []

    def test_judging_leaves_them_as_they_were(self, world):
        run = make_run("alone", world)
        run.scheme.student.high_norm.eval()  # a norm that a scheme keeps frozen while the rest trains
        before = [module.training for module in run.scheme.modules()]
        advance(run, 6)
        assert "test" in run.curve[-1]
        assert [module.training for module in run.scheme.modules()] == before


class TestUntouched:
    def test_parameters_that_no_loss_reaches_are_named(self, world):
        run = advance(make_run("hints", world))
        early, adapter = {"student.early.weight", "student.early.bias"}, {"adapter.weight", "adapter.bias"}
        assert run.untouched["hint/hint"] == []
        assert set(run.untouched["main/student"]) == early | {f"methods.0.{name}" for name in adapter}

    def test_where_all_are_reached_nothing_is_named(self, world):
        assert advance(make_run("exits", world), 1).untouched == {"main/student": []}

    def test_they_do_not_move_although_weights_decay(self, world):
        run = make_run("soft", world)
        before = bits(run.scheme.student.early.state_dict())
        assert bits(advance(run).scheme.student.early.state_dict()) == before


class TestRegistration:
    def test_parameters_that_would_not_be_saved_are_refused(self):
        stranger = Number()
        scheme = Slide(falls)
        scheme.stages = lambda: [Stage("main", [Update("number", [scheme.number, stranger], lambda batch: {})])]
        with pytest.raises(ValueError, match="update number trains 1 parameters that its scheme does not register"):
            Run("slide", scheme, DATA, PLAIN, SEED)

    def test_also_those_of_a_later_stage_before_anything_is_trained(self):
        scheme, late = Slide(falls), Stage("late", [Update("stranger", [Number()], lambda batch: {})])
        first = scheme.stages()
        scheme.stages = lambda: [*first, late]
        with pytest.raises(ValueError, match="update stranger trains 1 parameters"):
            Run("slide", scheme, DATA, PLAIN, SEED)

    def test_two_updates_of_one_name_are_refused(self):
        scheme = Slide(falls)
        both = [Update("number", [scheme.number], lambda batch: falls(scheme.number, batch)) for _ in range(2)]
        scheme.stages = lambda: [Stage("main", both)]
        with pytest.raises(ValueError, match="updates of stage main need names of their own, got number, number"):
            Run("slide", scheme, DATA, PLAIN, SEED)

    def test_modules_may_come_from_a_generator(self):
        """An interruption enters the stage a second time, when a generator would be empty."""
        scheme = Slide(falls)
        update = Update("number", (module for module in [scheme.number]), lambda batch: falls(scheme.number, batch))
        scheme.stages = lambda: [Stage("main", [update])]
        run = Run("slide", scheme, DATA, PLAIN, SEED)
        run.restore(run.state())
        assert len(run.parameters[0]) == 1

    def test_a_module_named_twice_is_trained_once(self):
        scheme = Slide(falls)
        twice = Update("number", [scheme.number, scheme.number], lambda batch: falls(scheme.number, batch))
        scheme.stages = lambda: [Stage("main", [twice])]
        run = Run("slide", scheme, DATA, PLAIN, SEED)
        assert paces(walked(run)) == pytest.approx([0.1] * 8)


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


class TestPrecision:
    def test_networks_compute_in_half_and_losses_in_single_precision(self, world):
        run, kinds = make_run("half", world), []
        update = run.stages[0].updates[0]
        good = update.losses

        def losses(batch):
            terms = good(batch)
            said = batch.outputs(run.scheme.student)
            kinds.append((said.logits.dtype, batch.outputs(world.teacher).logits.dtype))
            kinds.extend(term.value.dtype for term in terms.values())
            return terms

        update.losses = losses
        advance(run, 1)
        assert kinds == [(torch.bfloat16, torch.bfloat16), torch.float32, torch.float32, torch.float32]
        assert {p.dtype for p in run.scheme.parameters()} == {torch.float32}
        assert {p.grad.dtype for p in run.scheme.parameters() if p.grad is not None} == {torch.float32}

    def test_is_the_runs_and_no_updates(self, world):
        """Updates share what a resting network says, so one precision holds for all of them."""

        def made(**changes):
            run = make_run("soft", world)
            update = run.stages[0].updates[0]
            update.recipe = replace(RECIPE, **changes)
            run._enter(0, 0)
            return run

        assert digest(advance(made(precision="bfloat16"))) == digest(advance(made()))

    def test_a_gradient_reaches_weights_that_first_answered_without_one(self, world):
        """Autocast keeps half copies of weights; one made without a graph must not serve a pass that needs one."""
        run = make_run("soft", world, precision="bfloat16")
        update = run.stages[0].updates[0]
        good = update.losses

        def losses(batch):
            with torch.no_grad():
                run.scheme.student(batch.inputs)
            return good(batch)

        update.losses = losses
        advance(run, 1)
        assert run.untouched["main/student"] == ["student.early.weight", "student.early.bias"]

    def test_half_gives_other_numbers_near_the_single_ones(self, world):
        half, whole = (advance(make_run("soft", world, precision=kind)) for kind in ("bfloat16", "float32"))
        ends = [run.curve[-1]["terms"]["student/task"] for run in (half, whole)]
        assert ends[0] != ends[1] and ends[0] == pytest.approx(ends[1], rel=0.05)


class TestRandomness:
    def test_of_layers_depends_on_seed_stage_update_and_step_alone(self, world):
        def drawn(run, spoil):
            found, update = [], run.stages[0].updates[0]
            good = update.losses
            update.losses = lambda batch: (found.append(torch.rand(3).tolist()), good(batch))[1]
            while run.active:
                if spoil:
                    torch.rand(5)
                run.advance()
            return found

        first = drawn(make_run("soft", world), False)
        assert drawn(make_run("bank", world), True) == first
        assert drawn(make_run("soft", world, seed=4), False) != first
        assert len({tuple(each) for each in first}) == RECIPE.steps

    def test_between_epochs_is_counted_too(self, world):
        def ended(spoil):
            run = make_run("rounds", world)
            average = run.stages[0].between

            def between(data, clock):
                average(data, clock)
                with torch.no_grad():
                    run.scheme.shared.late.bias += torch.rand(5)

            run.stages[0].between = between
            if spoil:
                seed_layers("something else was trained here")
            return digest(advance(run))

        assert ended(True) == ended(False)


class TestFailure:
    def test_keeps_the_first_line_of_what_was_said(self, world):
        run = make_run("soft", world)
        run.fail(RuntimeError("out of memory\nand a long tail"))
        assert run.failed == {"stage": "main", "step": 0, "term": None, "reason": "out of memory"}
        assert run.remaining == 0 and not run.active

    def test_without_words_is_named_by_its_kind(self, world):
        run = make_run("soft", world)
        run.fail(MemoryError())
        assert run.failed["reason"] == "MemoryError"

    def test_of_the_gradient_alone_shows_at_the_next_step(self):
        """The square root has a value at zero and no slope."""
        terms = lambda number, batch: {"root": Term((number.value - 1).abs().sqrt())}
        run = Run("slide", Slide(terms), DATA, PLAIN, SEED)
        fit([run])
        assert run.failed["term"] == "number/root" and run.failed["step"] == 1

    def test_an_endless_number_is_not_finite_either(self):
        terms = lambda number, batch: {"height": Term(number.value * (math.inf if batch.clock.step == 3 else 1))}
        run = Run("slide", Slide(terms), DATA, PLAIN, SEED)
        fit([run])
        assert (run.failed["step"], run.failed["term"]) == (3, "number/height")
