"""One run: what it trains and in which mode, what it refuses, in which arithmetic, from which chance."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from proof import advance, bits, digest
from slide import DATA, PLAIN, Number, Slide, falls, paces, slide, walked
from zoo import RECIPE, SEED, make_run

from kdcore.engine import Run, fit
from kdcore.randomness import seed_layers
from kdcore.types import Clock, Stage, Term, Update


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
