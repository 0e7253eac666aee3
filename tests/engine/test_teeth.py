"""Promises broken on purpose: the proofs of this folder must see each of them."""

import pytest
import torch
from proof import advance, digest, saved
from zoo import make_run
from zoo.data import VIEWS
from zoo.schemes import Rounds

from kdcore.engine import fit
from kdcore.types import Data


class TestTeeth:
    """A mutation, and a run resumed under it."""

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
        views = {**VIEWS, "weak": lambda images, random: images + 0.1 * torch.randn(images.shape)}
        data = Data(world.images.inputs, world.images.targets, world.images.task, views, classes=5)

        def made():
            runs = [make_run(name, world) for name in ("bank", "soft")]
            for run in runs:
                run.data = data
            return runs

        fit(together := made())
        assert [digest(run) for run in together] != [digest(advance(run)) for run in made()]
