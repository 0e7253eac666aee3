"""Runs that share what is made at one point of the data: none of them can tell."""

from dataclasses import replace

import pytest
import torch
from proof import advance, bits, digest
from zoo import ARCHETYPES, BROKEN_AT, POISONED, RECIPE, make_run, make_runs

from kdcore.engine import Run, fit, loop
from kdcore.engine.optimise import step_together
from kdcore.types import Batch, Task

NAMES = tuple(ARCHETYPES)


@pytest.fixture(scope="module")
def alone(world):
    """The digest of every archetype when nothing else is trained, at its end and in its middle."""
    ends, middles = {}, {}
    for name in NAMES:
        run = make_run(name, world)
        fit([run])
        ends[name], middles[name] = digest(run), digest(advance(make_run(name, world), 9))
    return ends, middles


class TestCompany:
    def test_all_together_give_the_bits_of_each_alone(self, world, alone):
        runs = make_runs(NAMES, world)
        assert fit(runs)
        assert {run.name: digest(run) for run in runs} == alone[0]

    @pytest.mark.parametrize("chosen", [NAMES[::-1], NAMES[::3], NAMES[2::5]], ids=["reversed", "a third", "others"])
    def test_neither_order_nor_company_matters(self, world, alone, chosen):
        runs = make_runs(chosen, world)
        fit(runs)
        assert {run.name: digest(run) for run in runs} == {name: alone[0][name] for name in chosen}

    def test_half_way_the_optimisers_are_the_same_too(self, world, alone):
        runs = make_runs(NAMES, world)
        while min(sum(clock.steps for clock in run.clocks) - run.remaining for run in runs) < 9:
            for run in runs:
                if sum(clock.steps for clock in run.clocks) - run.remaining < 9:
                    run.advance({})
        assert {run.name: digest(run) for run in runs} == alone[1]

    def test_runs_of_other_seeds_and_lengths_keep_each_other_company(self, world):
        def made():
            one = make_runs(("soft", "bank"), world, seed=4)
            other = [make_run("soft", world, steps=9), make_run("hints", world, batch_size=24), make_run("soft", world)]
            return [*one, *other]

        apart = [digest(advance(run)) for run in made()]
        fit(together := made())
        assert [digest(run) for run in together] == apart

    def test_optimisers_that_move_in_one_call_give_the_bits_of_each_alone(self, world, alone, monkeypatch):
        moved = []

        def counting(optimizers):
            optimizers = list(optimizers)
            moved.append(len(optimizers))
            step_together(optimizers)

        monkeypatch.setattr(loop, "_moves_with_others", lambda run: True)
        monkeypatch.setattr(loop, "step_together", counting)
        told, runs = [], make_runs(NAMES, world)
        assert fit(runs, finished=told.append)
        assert {run.name: digest(run) for run in runs} == alone[0]
        assert max(moved) > 10 and len(told) == len(runs)

    @pytest.mark.parametrize("order", [1, -1])
    def test_precision_is_each_runs_own(self, world, order):
        made = lambda: [make_run("soft", world, precision=kind) for kind in ("float32", "bfloat16")]
        apart = [digest(advance(run)) for run in made()]
        fit((together := made())[::order])
        assert [digest(run) for run in together] == apart and apart[0] != apart[1]

    def test_threads_are_each_runs_own(self, world):
        """One thread and two differ in the last bits, so what one computes is of no use to the other."""
        runs, seen, asked = [make_run("soft", world, threads=n, steps=2) for n in (1, 2, 1)], [], []
        for run in runs:
            losses = run.stages[0].updates[0].losses
            run.stages[0].updates[0].losses = lambda batch, good=losses: (
                seen.append(torch.get_num_threads()),
                good(batch),
            )[1]
        hook = world.teacher.register_forward_hook(lambda *_: asked.append(torch.get_num_threads()))
        fit(runs)
        hook.remove()
        assert seen == [1, 2, 1] * 2 and asked == [1, 2] * 2

    def test_runs_that_train_the_same_network_are_refused(self, world):
        first = make_run("soft", world)
        second = Run("soft again", first.scheme, first.data, first.recipe, first.seed)
        with pytest.raises(ValueError, match="soft and soft again train the same network"):
            fit([first, second])


class TestTeacher:
    @pytest.mark.parametrize("name", ["soft", "critic", "slopes", "chain", "invented", "bilevel"])
    def test_is_afterwards_what_it_was_to_the_bit(self, world, name):
        before = bits(world.teacher.state_dict())
        fit([make_run(name, world)])
        assert bits(world.teacher.state_dict()) == before
        assert not any(module.training for module in world.teacher.modules())
        assert all(p.grad is None and not p.requires_grad for p in world.teacher.parameters())

    def test_answers_once_for_all_runs_that_stand_at_the_same_point(self, world):
        counted = []
        hook = world.teacher.register_forward_hook(lambda *_: counted.append(1))
        try:
            fit([make_run("soft", world), make_run("bank", world), make_run("surgery", world)])
        finally:
            hook.remove()
        assert len(counted) == RECIPE.steps


class TestSharedTensors:
    @pytest.mark.parametrize("name", [name for name in NAMES if name not in ("invented", "rounds")])
    def test_are_written_by_nobody(self, world, name):
        """Every tensor in the memo still has the version at which it was put there."""
        run, memo = make_run(name, world), Noticing()
        while run.active:
            memo.clear()
            run.advance(memo)
            assert memo.versions() == memo.seen
        assert memo.seen

    def test_a_run_that_writes_on_them_is_noticed(self, world):
        run, memo = make_run("soft", world), Noticing()
        batch = run.data.batch(run.seed, run.clock, 16, memo)
        batch.outputs(world.teacher).logits.add_(1)
        assert memo.versions() != memo.seen


class Noticing(dict):
    """A memo that remembers the version of every tensor it was given."""

    def __init__(self):
        super().__init__()
        self.seen = {}

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        self.seen |= {(key, n): tensor._version for n, tensor in enumerate(tensors(value))}

    def clear(self):
        super().clear()
        self.seen = {}

    def versions(self):
        return {(key, n): tensor._version for key, value in self.items() for n, tensor in enumerate(tensors(value))}


def tensors(value):
    if isinstance(value, torch.Tensor):
        return [value]
    if hasattr(value, "map"):
        found = []
        value.map(lambda tensor: found.append(tensor) or tensor)
        return found
    return []


class TestFailure:
    @pytest.mark.parametrize(
        ("name", "term", "reason"),
        [
            ("not-a-number", "student/bad", "not finite"),
            ("endless", "student/bad", "not finite"),
            ("singular", None, "singular"),
            ("exhausted", None, "nothing is left"),
            ("too-large", None, "can't allocate memory"),
        ],
    )
    def test_stays_alone_and_says_where_it_happened(self, world, alone, caplog, name, term, reason):
        assert name in POISONED
        bad, told = make_run(name, world), []
        good = make_runs(("soft", "two-views"), world)
        assert fit([good[0], bad, good[1]], finished=told.append)
        failed = bad.failed
        assert (failed["stage"], failed["step"], failed["term"]) == ("main", BROKEN_AT, term)
        assert reason in failed["reason"] and "\n" not in failed["reason"]
        assert [digest(run) for run in good] == [alone[0]["soft"], alone[0]["two-views"]]
        assert sorted(run.name for run in told) == sorted([name, "soft", "two-views"])
        assert bad.remaining == 0 and not bad.active
        assert sum(name in record.getMessage() for record in caplog.records) == 1

    def test_in_judging_is_of_that_run_too(self, world):
        bad = make_run("alone", world)
        bad.data = replace(bad.data, splits={"test": replace(bad.data.splits["test"], task=Unjudgeable())})
        good = make_run("soft", world)
        assert fit([bad, good])
        assert bad.failed["step"] == 6 and bad.failed["reason"] == "nothing is left"
        assert good.failed is None

    def test_stays_alone_where_optimisers_move_together(self, world, alone, monkeypatch):
        monkeypatch.setattr(loop, "_moves_with_others", lambda run: True)
        bad, good = make_run("not-a-number", world), make_runs(("soft", "two-views"), world)
        assert fit([good[0], bad, good[1]])
        assert bad.failed["step"] == BROKEN_AT
        assert [digest(run) for run in good] == [alone[0]["soft"], alone[0]["two-views"]]

    def test_of_any_other_kind_is_a_fault_and_is_heard(self, world):
        bad = make_run("soft", world)
        bad.stages[0].updates[0].losses = lambda batch: {"typo": batch.no_such_thing}
        with pytest.raises(AttributeError, match="no_such_thing"):
            fit([bad])


class Unjudgeable(Task):
    def evaluate(self, predict, data):
        raise MemoryError("nothing is left")


class TestSharing:
    def test_views_are_drawn_once_for_all(self, world):
        """Two runs in one memo read the very same tensor, and it is what either alone would have drawn."""
        memo: dict = {}
        one, two = make_run("soft", world), make_run("bank", world)
        batches = [run.data.batch(run.seed, run.clock, 16, memo) for run in (one, two)]
        assert batches[0].inputs is batches[1].inputs
        own = two.data.batch(two.seed, two.clock, 16)
        assert isinstance(own, Batch) and torch.equal(own.inputs, batches[0].inputs)
