"""The loop around the runs: what it tells, when it stops, how it is interrupted."""

import os
import signal
import threading

import pytest
from proof import advance, digest
from zoo import RECIPE, make_run, make_runs

from kdcore.engine import fit


class TestOrder:
    def test_those_furthest_behind_go_first(self, world):
        """After an interruption at different steps the runs meet again and share what is made from there on."""
        ahead, behind = make_run("soft", world), make_run("bank", world)
        advance(ahead, 4)
        seen, (note,) = [], [lambda run: seen.append((run.name, run.step))]
        for run in (ahead, behind):
            losses = run.stages[0].updates[0].losses
            run.stages[0].updates[0].losses = lambda batch, run=run, losses=losses: (note(run), losses(batch))[1]
        fit([ahead, behind])
        assert seen[:4] == [("bank", step) for step in range(4)]
        assert seen[4:8] == [("soft", 4), ("bank", 4), ("soft", 5), ("bank", 5)]

    def test_nothing_to_do_is_done(self, world):
        assert fit([]) and fit([advance(make_run("soft", world))])


class TestFinished:
    def test_is_called_once_with_every_run_when_it_is_done(self, world):
        runs, told = make_runs(("hints", "soft", "rounds"), world), []
        assert fit(runs, finished=lambda run: told.append((run.name, run.done, run.remaining)))
        assert sorted(told) == [("hints", True, 0), ("rounds", True, 0), ("soft", True, 0)]

    def test_what_it_raises_is_heard_and_the_others_are_saved(self, world, tmp_path):
        runs = make_runs(("soft", "hints"), world, folder=tmp_path)
        with pytest.raises(OSError, match="the store is full"):
            fit(runs, finished=lambda run: (_ for _ in ()).throw(OSError("the store is full")))
        again = make_run("hints", world, folder=tmp_path)
        assert fit([again]) and again.resumed == 1
        assert digest(again) == digest(advance(make_run("hints", world)))


class TestProgress:
    def test_counts_the_steps_of_all_runs_and_ends_with_all(self, world, monkeypatch):
        now, told = iter(range(10**6)), []
        monkeypatch.setattr("kdcore.engine.loop.time.monotonic", lambda: float(next(now)))
        fit(make_runs(("soft", "hints"), world), progress=lambda done, total: told.append((done, total)))
        assert {total for _, total in told} == {14 + 21}
        counts = [done for done, _ in told]  # both, the second stage that only one has, both again
        assert counts == sorted(counts) and counts[-1] == 35 and len(set(counts)) == 7 + 7 + 7

    def test_of_a_resumed_run_counts_what_is_left(self, world, tmp_path):
        told, stops = [], iter([False] * 5 + [True])
        fit([make_run("soft", world, folder=tmp_path)], should_stop=lambda: next(stops))
        fit([make_run("soft", world, folder=tmp_path)], progress=lambda done, total: told.append((done, total)))
        assert told[-1] == (9, 9)


class TestStop:
    def test_is_asked_before_every_step(self, world):
        asked = []
        run = make_run("soft", world)
        assert fit([run], should_stop=lambda: asked.append(run.step))
        assert asked == list(range(RECIPE.steps))

    def test_before_the_first_step_leaves_everything_as_it_was(self, world):
        run = make_run("soft", world)
        before = digest(run)
        assert not fit([run], should_stop=lambda: True)
        assert digest(run) == before


def interrupted_at(run, step: int, times: int = 1) -> None:
    """Press Ctrl-C in the middle of a step."""
    update = run.stages[0].updates[0]
    losses = update.losses

    def pressing(batch):
        terms = losses(batch)
        if batch.clock.step == step:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
        return terms

    update.losses = pressing


@pytest.fixture
def heard():
    """A shell that starts a command in the background has it ignore the keyboard; these tests press its keys."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
class TestKeyboard:
    def test_lets_the_step_under_way_end_and_saves(self, world, tmp_path):
        runs = make_runs(("soft", "bank"), world, folder=tmp_path)
        interrupted_at(runs[0], 4)
        with pytest.raises(KeyboardInterrupt):
            fit(runs)
        assert [run.step for run in runs] == [5, 5]
        again = make_runs(("soft", "bank"), world, folder=tmp_path)
        assert fit(again) and [run.resumed for run in again] == [1, 1]
        assert [digest(run) for run in again] == [digest(advance(make_run(n, world))) for n in ("soft", "bank")]

    def test_pressed_twice_does_not_wait(self, world, tmp_path):
        run = make_run("soft", world, folder=tmp_path)
        interrupted_at(run, 4, times=2)
        with pytest.raises(KeyboardInterrupt):
            fit([run])
        assert run.step == 4 and not run.whole
        assert not run.checkpoint.exists()  # what is there belongs to no step

    def test_in_the_last_step_is_heard_too(self, world):
        run, told = make_run("soft", world), []
        interrupted_at(run, RECIPE.steps - 1)
        with pytest.raises(KeyboardInterrupt):
            fit([run], finished=told.append)
        assert run.done and told == [run]

    @pytest.mark.parametrize("how", ["done", "stopped", "failed"])
    def test_means_afterwards_what_it_meant_before(self, world, how):
        before = signal.getsignal(signal.SIGINT)
        run = make_run("soft", world)
        if how == "failed":
            run.stages[0].updates[0].losses = lambda batch: 1 / 0
            with pytest.raises(ZeroDivisionError):
                fit([run])
        else:
            fit([run], should_stop=lambda: how == "stopped")
        assert signal.getsignal(signal.SIGINT) is before is signal.default_int_handler

    def test_of_a_program_with_its_own_answer_is_left_to_it(self, world):
        heard, before = [], signal.signal(signal.SIGINT, lambda *_: heard.append("heard"))
        try:
            run = make_run("soft", world)
            interrupted_at(run, 4)
            assert fit([run]) and heard == ["heard"]
        finally:
            signal.signal(signal.SIGINT, before)

    def test_outside_the_main_thread_a_run_trains_all_the_same(self, world):
        run, answers = make_run("soft", world), []
        thread = threading.Thread(target=lambda: answers.append(fit([run])))
        thread.start()
        thread.join()
        assert answers == [True] and digest(run) == digest(advance(make_run("soft", world)))
