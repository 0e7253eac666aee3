"""Stopped at any step, saved and taken up by fresh objects: the bits of an undisturbed run."""

import logging
from itertools import pairwise

import pytest
import torch
from proof import advance, digest, saved
from zoo import ARCHETYPES, make_run, make_runs
from zoo.schemes import Rounds

from kdcore.engine import DamagedCheckpoint, Run, checkpoint, fit

NAMES = tuple(ARCHETYPES)


def steps_of(run: Run) -> int:
    return sum(clock.steps for clock in run.clocks)


class TestEveryStep:
    @pytest.mark.parametrize("name", NAMES)
    def test_resumed_is_undisturbed(self, world, name):
        """Stops at every third step: inside epochs, at their ends, inside every stage."""
        going = make_run(name, world)
        states = {}
        while going.active:
            done = steps_of(going) - going.remaining
            if done % 3 == 1 or going.step == 0:
                states[done] = saved(going)
            going.advance()
        for done, state in states.items():
            again = make_run(name, world)
            again.restore(state)
            assert steps_of(again) - again.remaining == done
            assert digest(advance(again)) == digest(going), f"resumed after step {done}"

    def test_resumed_twice_is_undisturbed(self, world):
        whole = advance(make_run("cadence", world))
        state = saved(advance(make_run("cadence", world), 4))
        for stop in (3, 5):
            again = make_run("cadence", world)
            again.restore(state)
            state = saved(advance(again, stop))
        last = make_run("cadence", world)
        last.restore(state)
        assert last.resumed == 3
        assert digest(advance(last)) == digest(whole)

    def test_resumed_in_company_is_undisturbed(self, world, tmp_path):
        names = ("bank", "hints", "two-peers", "rounds", "words")
        whole = make_runs(names, world)
        fit(whole)
        stops = iter([False] * 10 + [True])
        assert not fit(make_runs(names, world, folder=tmp_path), should_stop=lambda: next(stops))
        again = make_runs(names[::-1], world, folder=tmp_path)
        assert fit(again)
        assert {run.name: digest(run) for run in again} == {run.name: digest(run) for run in whole}
        assert {run.resumed for run in again} == {1}


class TestBetween:
    def test_comes_before_every_epoch_and_after_the_last(self, world):
        run, told = make_run("rounds", world), []
        run.stages[0].between = lambda data, clock: told.append(clock.step)
        advance(run)
        assert told == [0, 6, 12, 14]

    def test_and_the_step_beside_it_are_one(self, world):
        """Wherever the run is saved, the averaging that belongs to the steps done has been done exactly once."""
        run, rounds = make_run("rounds", world), []
        while run.active:
            run.advance()
            rounds.append(int(saved(run)["scheme"]["rounds"]))
        whole = [1 + done // 6 + (done == 14) for done in range(1, 15)]
        assert rounds == whole

    def test_judges_what_it_delivers(self, world):
        """The last entry of the curve is judged after the last averaging, as the result is."""
        run = advance(make_run("rounds", world))
        assert run.curve[-1]["test"] == run.result()["shared"]


class TestCheckpoint:
    @pytest.mark.parametrize("stop", [1, 7, 8, 15])
    def test_is_saved_when_asked_to_stop_and_goes_when_done(self, world, tmp_path, stop):
        first, stops, told = make_run("hints", world, folder=tmp_path), iter([False] * stop + [True]), []
        assert not fit([first], should_stop=lambda: next(stops))
        assert first.checkpoint.exists()
        again = make_run("hints", world, folder=tmp_path)
        assert fit([again], finished=lambda run: told.append(run.checkpoint.exists()))
        assert digest(again) == digest(advance(make_run("hints", world)))
        assert told == [True] and not any(tmp_path.iterdir())

    def test_is_written_when_the_time_has_come(self, world, tmp_path, monkeypatch):
        told = []
        monkeypatch.setattr(checkpoint, "save", lambda state, path: told.append(tuple(state["at"])))
        fit([make_run("soft", world, folder=tmp_path)], every_seconds=0.0)
        assert told == [(0, step) for step in range(1, 14)]
        told.clear()
        fit([make_run("soft", world, folder=tmp_path)], every_seconds=1000.0)
        assert not told

    def test_waits_for_the_end_of_an_epoch_but_not_for_ever(self, world, tmp_path, monkeypatch):
        told, now = [], iter(range(1000))
        monkeypatch.setattr(checkpoint, "save", lambda state, path: told.append(tuple(state["at"])))
        monkeypatch.setattr("kdcore.engine.loop.time.monotonic", lambda: float(next(now)))
        fit([make_run("soft", world, folder=tmp_path)], every_seconds=4.5)
        assert told[0] == (0, 6)
        assert all(step % 6 == 0 or later - step > 4 for (_, step), (_, later) in pairwise(told))

    def test_of_a_failed_run_goes(self, world, tmp_path):
        run = make_run("not-a-number", world, folder=tmp_path)
        assert fit([run], every_seconds=0.0)
        assert run.failed and not any(tmp_path.iterdir())

    @pytest.mark.parametrize("kind", ["truncated", "foreign", "empty", "other format", "half a state", "code"])
    def test_that_is_damaged_is_set_aside_with_one_line(self, world, tmp_path, caplog, kind):
        whole = make_run("hints", world)
        fit([whole])
        run = make_run("hints", world, folder=tmp_path)
        checkpoint.save(advance(make_run("hints", world), 9).state(), run.checkpoint)
        good = run.checkpoint.read_bytes()
        if kind == "truncated":
            run.checkpoint.write_bytes(good[: len(good) // 2])
        elif kind == "foreign":
            run.checkpoint.write_bytes(b"not a checkpoint at all")
        elif kind == "empty":
            run.checkpoint.write_bytes(b"")
        elif kind == "other format":
            torch.save({"epoch": 3}, run.checkpoint)
        elif kind == "half a state":
            state = advance(make_run("hints", world), 9).state()
            del state["watch"]
            torch.save(state, run.checkpoint)
        else:
            torch.save({"format": "kdcore run 1", "call": print}, run.checkpoint)
        with caplog.at_level(logging.WARNING):
            assert fit([run])
        assert digest(run) == digest(whole) and run.resumed == 0
        (line,) = [record.getMessage() for record in caplog.records]
        assert "hints starts anew" in line and "\n" not in line
        assert [path.suffix for path in tmp_path.iterdir()] == [".damaged"]

    @pytest.mark.parametrize(
        "change", [{"seed": 4}, {"learning_rate": 0.1}, {"steps": 16}, {"optimizer": "adam"}, {"batch_size": 12}]
    )
    def test_of_another_run_is_not_taken_up(self, world, tmp_path, caplog, change):
        run = make_run("soft", world, folder=tmp_path)
        checkpoint.save(advance(make_run("soft", world, **change), 5).state(), run.checkpoint)
        assert fit([run])
        assert run.resumed == 0 and digest(run) == digest(advance(make_run("soft", world)))
        assert len(caplog.records) == 1

    def test_of_another_scheme_is_not_taken_up(self, world):
        run = make_run("soft", world)
        state = saved(advance(make_run("bank", world), 5)) | {"run": saved(run)["run"]}
        with pytest.raises(DamagedCheckpoint, match="does not fit soft"):
            run.restore(state)


class TestInterruption:
    @pytest.mark.parametrize("moment", ["between steps", "inside a step", "in the optimiser"])
    def test_by_the_keyboard_keeps_what_is_whole(self, world, tmp_path, moment, monkeypatch):
        names = ("bank", "soft")
        whole = make_runs(names, world)
        fit(whole)
        runs, count = make_runs(names, world, folder=tmp_path), iter(range(1000))

        def interrupt(*_):
            if next(count) == 7:
                raise KeyboardInterrupt
            return False

        if moment == "between steps":
            options = {"should_stop": interrupt}
        else:
            options, update = {}, runs[1].stages[0].updates[0]
            if moment == "inside a step":
                good = update.losses
                update.losses = lambda batch: (good(batch), interrupt())[0]
            else:
                monkeypatch.setattr(runs[1].optimizers[0][1], "step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(runs, **options)
        again = make_runs(names, world, folder=tmp_path)
        assert again[0].checkpoint.exists()
        assert fit(again)
        assert [digest(run) for run in again] == [digest(run) for run in whole]

    def test_by_a_fault_in_one_run_saves_the_others(self, world, tmp_path):
        good, bad = make_run("bank", world, folder=tmp_path), make_run("soft", world, folder=tmp_path)
        losses = bad.stages[0].updates[0].losses
        bad.stages[0].updates[0].losses = lambda batch: losses(batch) if batch.clock.step < 8 else 1 / 0
        with pytest.raises(ZeroDivisionError):
            fit([good, bad])
        again = make_run("bank", world, folder=tmp_path)
        assert fit([again])
        assert again.resumed == 1 and digest(again) == digest(advance(make_run("bank", world)))


class TestTeeth:
    """Each of these breaks a promise on purpose, and the proof above must see it."""

    def caught(self, make, stop=7) -> bool:
        whole = advance(make())
        again = make()
        again.restore(saved(advance(make(), stop)))
        return digest(advance(again)) != digest(whole)

    @pytest.mark.parametrize("name", ["bank", "soft", "rounds", "shadow", "critic"])
    def test_without_a_mutation_there_is_nothing_to_catch(self, world, name):
        assert not self.caught(lambda: make_run(name, world))

    @pytest.mark.parametrize(("name", "buffer"), [("bank", "bank"), ("bank", "scale"), ("replay", "kept")])
    def test_a_buffer_that_is_not_saved_is_caught(self, world, name, buffer):
        def make():
            run = make_run(name, world)
            owner = run.scheme.methods[1] if name == "bank" else run.scheme
            owner._non_persistent_buffers_set.add(buffer)
            return run

        assert self.caught(make)

    def test_a_list_that_outlives_a_step_is_caught(self, world):
        def make():
            run, past = make_run("soft", world), []
            update = run.stages[0].updates[0]
            good = update.losses

            def losses(batch):
                terms = good(batch)
                past.append(terms["task"].value.detach())
                return terms | {"drift": terms["task"]._replace(value=terms["task"].value * len(past))}

            update.losses = losses
            return run

        assert self.caught(make)

    def test_a_generator_that_is_carried_is_caught(self, world):
        def make():
            run, carried = make_run("soft", world), torch.Generator().manual_seed(0)
            update = run.stages[0].updates[0]
            good = update.losses

            def losses(batch):
                terms = good(batch)
                chance = torch.rand((), generator=carried)
                return terms | {"chance": terms["task"]._replace(value=terms["task"].value * chance)}

            update.losses = losses
            return run

        assert self.caught(make)

    def test_a_momentum_that_is_not_restored_is_caught(self, world, monkeypatch):
        monkeypatch.setattr(torch.optim.Optimizer, "load_state_dict", lambda self, state: None)
        assert self.caught(lambda: make_run("soft", world))

    def test_batch_statistics_that_are_not_restored_are_caught(self, world):
        def make():
            run = make_run("alone", world)
            run.scheme.student.low_norm._non_persistent_buffers_set.add("running_mean")
            return run

        assert self.caught(make)

    def test_a_log_that_is_not_restored_is_caught(self, world, monkeypatch):
        monkeypatch.setattr("kdcore.engine.watch.Watch.restore", lambda self, state: None)
        assert self.caught(lambda: make_run("alone", world))

    def test_an_averaging_outside_the_step_is_caught(self, world, monkeypatch):
        """A kill between the two would lose it: here the state is taken before it."""

        def make():
            run = make_run("rounds", world)
            run.stages[0].between = None
            return run

        def apart(run, steps=10**6):
            while run.active and steps:
                if run.step % 6 == 0:
                    Rounds.average(run.scheme, run.data, run.clock)
                run.advance()
                steps -= 1
            return run

        whole, half = apart(make()), make()
        apart(half, 6)
        Rounds.average(half.scheme, half.data, half.clock)  # done, but the run was killed before its step
        again = make()
        again.restore(saved(half))
        assert digest(apart(again)) != digest(whole)

    def test_a_run_that_leans_on_its_company_is_caught(self, world):
        """A view that draws from the default generator gives the second run other dropout than it has alone."""
        import zoo.data

        views = {**zoo.data.VIEWS, "weak": lambda images, random: images + 0.1 * torch.randn(images.shape)}
        data = zoo.data.Data(world.images.inputs, world.images.targets, world.images.task, views, classes=5)

        def made():
            runs = [make_run(name, world) for name in ("bank", "soft")]
            for run in runs:
                run.data = data
            return runs

        fit(together := made())
        assert [digest(run) for run in together] != [digest(advance(run)) for run in made()]
