"""Sums of terms, and the step at which one went wrong, on a CPU and as an accelerator keeps them."""

import pytest
import torch

from kdcore.engine import Diverged
from kdcore.engine.watch import Watch
from kdcore.types import Term


def terms(**values: float) -> dict[str, Term]:
    return {name: Term(torch.tensor(value), 0.5) for name, value in values.items()}


class TestSums:
    def test_are_means_of_unweighted_values_since_the_last_reading(self):
        watch = Watch()
        for value in (1.0, 2.0, 6.0):
            watch.see("student", terms(task=value, soft=-value), "main", 0)
        assert watch.read("main") == {"student/task": 3.0, "student/soft": -3.0}
        watch.see("student", terms(task=8.0, soft=0.0), "main", 3)
        assert watch.read("main") == {"student/task": 8.0, "student/soft": 0.0}
        assert watch.read("main") == {}

    def test_count_every_update_for_itself(self):
        watch = Watch()
        watch.see("student", terms(task=1.0), "main", 0)
        watch.see("critic", terms(tell=10.0), "main", 0)
        watch.see("student", terms(task=2.0), "main", 1)
        assert watch.read("main") == {"student/task": 1.5, "critic/tell": 10.0}

    def test_are_double_however_small_the_values(self):
        watch = Watch()
        for value in (1e8, 1.0):
            watch.see("student", terms(task=value), "main", 0)
        assert watch.read("main")["student/task"] == (1e8 + 1) / 2

    def test_come_back_from_a_state(self):
        watch, again = Watch(), Watch()
        watch.see("student", terms(task=1.0), "main", 0)
        again.restore(watch.state())
        again.see("student", terms(task=2.0), "main", 1)
        assert again.read("main") == {"student/task": 1.5}

    def test_leave_no_graph_behind(self):
        watch, weight = Watch(), torch.ones((), requires_grad=True)
        watch.see("student", {"task": Term(weight * 2)}, "main", 0)
        assert watch.state()["sums"] == {"student": [2.0]}


class TestDivergence:
    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
    def test_is_seen_at_its_own_step_and_named(self, bad):
        watch = Watch()
        watch.see("student", terms(task=1.0, soft=1.0), "main", 4)
        with pytest.raises(Diverged, match="stage main, step 5: student/soft is not finite") as caught:
            watch.see("student", terms(task=1.0, soft=bad), "main", 5)
        assert (caught.value.stage, caught.value.step, caught.value.term) == ("main", 5, "student/soft")


class TestAccelerator:
    """What is kept on a device that must not be waited for, tried on tensors that happen to be here."""

    def watched(self, *rows: list[float]) -> Watch:
        watch = Watch()
        watch._begin("student", terms(task=0.0, soft=0.0))
        for step, row in enumerate(rows):
            watch._see_later("student", torch.tensor(row, dtype=torch.float64), step)
            watch.counts["student"] += 1
        return watch

    def test_means_are_the_same(self):
        assert self.watched([1.0, 2.0], [2.0, 6.0]).read("main") == {"student/task": 1.5, "student/soft": 4.0}

    def test_the_first_bad_step_is_told_when_the_log_is_read(self):
        nan = float("nan")
        with pytest.raises(Diverged, match="stage main, step 1: student/soft"):
            self.watched([1.0, 2.0], [1.0, nan], [1.0, nan], [1.0, 3.0]).read("main")

    def test_it_comes_back_from_a_state(self):
        again = Watch()
        again.restore(self.watched([1.0, float("inf")]).state())
        with pytest.raises(Diverged, match="step 0"):
            again.read("main")
