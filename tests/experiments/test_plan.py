from __future__ import annotations

import subprocess
import sys

from kdcore.experiments import plan
from kdcore.experiments.running import run
from kdcore.experiments.store import Store


class TestPlan:
    def test_requests_join(self):
        store = Store()
        plan.add(store, "standin", "quick on cpu", {"kd, seed 0": "a"})
        plan.add(store, "standin", "quick on cpu", {"kd, seed 1": "b"})
        plan.add(store, "standin", "smoke on cpu", {"kd, seed 0": "c"})
        assert plan.wanted(plan.load(store, "standin")) == {"a", "b", "c"}
        assert plan.wanted(plan.load(store, "standin"), "quick") == {"a", "b"}

    def test_a_run_that_has_changed_takes_the_place_of_the_old_one(self):
        store = Store()
        plan.add(store, "standin", "quick on cpu", {"kd, seed 0": "a"})
        plan.add(store, "standin", "quick on cpu", {"kd, seed 0": "b"})
        assert plan.wanted(plan.load(store, "standin")) == {"b"}

    def test_a_run_without_a_hash_is_asked_for_and_a_hash_that_is_known_stays(self):
        store = Store()
        plan.add(store, "standin", "quick on cpu", {"kd, seed 0": None, "kd, seed 1": "b"})
        plan.add(store, "standin", "quick on cpu", {"kd, seed 1": None})
        assert plan.wanted(plan.load(store, "standin")) == {"b"}
        (standing,) = plan.standings(store, "standin")
        assert (standing.asked, standing.missing, standing.seconds) == (2, 2, None)

    def test_changed_settings_are_no_part_of_what_is_plainly_wanted(self):
        store = Store()
        plan.add(store, "standin", plan.heading("quick", "cpu", {"kd.temperature": 2}), {"kd, seed 0": "a"})
        assert plan.wanted(plan.load(store, "standin")) == set()

    def test_two_processes_lose_nothing_of_it(self, own_store):
        code = (
            "import sys; from kdcore.experiments import plan; from kdcore.experiments.store import Store\n"
            "for n in range(40):\n"
            "    plan.add(Store(), 'standin', 'quick on cpu', {f'{sys.argv[1]}, seed {n}': f'{sys.argv[1]}{n}'})"
        )
        both = [subprocess.Popen([sys.executable, "-c", code, name]) for name in ("a", "b")]
        assert [each.wait() for each in both] == [0, 0]
        assert len(plan.wanted(plan.load(Store(), "standin"))) == 80

    def test_one_that_is_damaged_is_said_and_left_aside(self, own_store, caplog):
        path = own_store / "standin" / "plan.json"
        path.parent.mkdir(parents=True)
        path.write_text('{"quick on cpu": ')
        assert plan.load(Store(), "standin") == {}
        assert caplog.messages == [f"{path} is no plan and is left aside"]


class TestStanding:
    def test_counts_what_is_done_failed_running_and_begun(self, measured):
        store = Store()
        run(measured(1.0))
        claim = store.claim("standin", "x")
        store.path("standin", "y", "checkpoint").touch()
        plan.add(store, "standin", "quick on cpu", {"kd, seed 0": "x", "kd, seed 1": "y", "kd, seed 2": "z"})
        (standing,) = plan.standings(store, "standin")
        claim.give_back()
        assert (standing.asked, standing.done, standing.failed, standing.running, standing.begun) == (5, 2, 0, 1, 1)
        assert standing.missing == 3

    def test_records_that_nobody_asks_for_any_more_stand_apart(self, measured):
        run(measured(1.0))
        run(measured(2.0))
        store = Store()
        (store.folder / "standin" / "plan.json").unlink()
        run(measured(2.0))
        assert [record["row"] for record in plan.other_records(store, "standin")] == ["row-1", "row-1"]
