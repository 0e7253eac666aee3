"""Stopped at any step, saved and taken up by fresh objects: the bits of an undisturbed run."""

import logging
from itertools import pairwise

import pytest
import torch
from proof import advance, digest, saved
from zoo import ARCHETYPES, make_run, make_runs

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
