"""Rows that train, on the digits with a few steps: what is refused before, what a record says after."""

from __future__ import annotations

import shutil

import pytest
import torch

from kdcore.entry import Entry, Refusal
from kdcore.experiments import bench as benches
from kdcore.experiments import running
from kdcore.experiments.bench import Bench, data_named, network_named, raw_teacher, read_weights
from kdcore.experiments.hashing import same_run
from kdcore.experiments.lockstep import not_finite, save_weights, weights_digest
from kdcore.experiments.profiles import DIGITS
from kdcore.experiments.requests import Request
from kdcore.experiments.running import carry_out, run, trained
from kdcore.experiments.store import Store
from kdcore.experiments.training import best, image, mean
from kdcore.experiments.types import Experiment, Profile, Row
from kdcore.randomness import generator
from kdcore.recipe import Recipe
from kdcore.types import Data, Method, Outputs, Task, Term

STEPS = {"steps": 4, "learning_rate": 0.05}


def pairs(*rows: Row, seeds: tuple[int, ...] = (0,), **recipe: object) -> Experiment:
    return Experiment("pairs", "Pairs", rows, seeds, {"smoke": Profile({**STEPS, **recipe}, DIGITS)})


STUDENT = Row("student", settings={"teacher": None})
KD = Row("kd", settings={"methods": [["kd", {}]]})
DKD = Row("dkd", settings={"methods": [["dkd", {}]]})


class Poisoned(Method):
    """Not a number from the third step on."""

    def losses(self, student, teacher, batch):
        poison = float("nan") if batch.clock.step >= 2 else 1.0
        return {"poison": Term(student.logits.mean() * poison)}


@pytest.fixture
def poisoned(monkeypatch) -> Row:
    entry_of = benches.entry_of

    def with_poison(key: str) -> Entry:
        return Entry("poisoned", "loss", Poisoned) if key == "poisoned" else entry_of(key)

    monkeypatch.setattr(benches, "entry_of", with_poison)
    return Row("poisoned", settings={"methods": [["poisoned", {}]]})


class TestRecords:
    def test_say_everything_of_a_training(self, with_teacher):
        _, record = run(pairs(STUDENT, KD), "smoke")
        assert record["method"] == "kd" and record["score"] == "accuracy"
        assert set(record["last"]) == {"accuracy", "cross_entropy"} and 0 <= record["last"]["accuracy"] <= 1
        assert record["networks"]["student"]["parameters"] == 5178
        assert 0 <= record["networks"]["student"]["agreement"] <= 1
        assert record["curve"][-1]["step"] == 4 and "student/kd" in record["curve"][-1]["terms"]
        assert record["untouched"] == {"main/student": []}
        assert set(record["inputs"]) == {"data", "classes", "teacher"}
        assert record["recipe"]["threads"] == 1 and "same bits" in record["promise"]

    def test_best_and_mean_of_last_ten_are_there_where_epochs_are_judged(self, with_teacher):
        (record,) = run(pairs(STUDENT, evaluate="epoch"), "smoke")
        tested = [entry["test"]["accuracy"] for entry in record["curve"]]
        assert len(tested) == 4 and tested[-1] == record["last"]["accuracy"]
        assert record["best"]["accuracy"] == max(tested)
        assert record["mean_of_last_ten"]["accuracy"] == pytest.approx(sum(tested) / 4, rel=1e-15)

    def test_epochs_in_which_an_assistant_learns_are_not_the_students(self, with_teacher):
        row = Row("takd", settings={"scheme": "takd", "assistants": ["digits-student"]})
        (record,) = run(pairs(row, evaluate="epoch"), "smoke")
        tested = [entry["test"]["accuracy"] for entry in record["curve"] if entry["stage"] == "main"]
        assert len(record["curve"]) == 2 * len(tested) == 8
        assert record["mean_of_last_ten"]["accuracy"] == pytest.approx(sum(tested) / 4, rel=1e-15)
        assert record["best"]["accuracy"] == max(tested) and record["best"]["epoch"] <= 4

    def test_a_budget_of_another_kind_is_refused(self, with_teacher):
        with pytest.raises(Refusal, match="budget must be 'student' or nothing, got 'teacher'"):
            run(pairs(Row("kd", settings={**KD.settings, "budget": "teacher"})), "smoke")

    def test_best_is_the_lowest_where_lower_is_better(self):
        tested = [{"perplexity": 3.0, "epoch": 1}, {"perplexity": 2.0, "epoch": 2}, {"perplexity": 4.0, "epoch": 3}]
        assert best(tested, "perplexity", lower=True) == {"perplexity": 2.0, "epoch": 2}
        assert mean(tested) == {"perplexity": 3.0} and best([], "accuracy") is None and mean([]) is None

    def test_a_student_alone_has_no_teacher_in_its_hash(self, with_teacher):
        (record,) = run(pairs(STUDENT), "smoke")
        assert "teacher" not in record["inputs"] and "agreement" not in record["networks"]["student"]


class TestCompany:
    def test_together_or_alone_or_in_any_order_gives_the_same_bits(self, with_teacher, taught, tmp_path):
        together = {r["hash"]: r for r in run(pairs(STUDENT, KD, DKD, seeds=(0, 1)), "smoke")}
        for number, row in enumerate((DKD, STUDENT, KD)):
            folder = tmp_path / f"alone-{number}"
            shutil.copytree(taught, folder)
            for seed in (1, 0):
                (alone,) = run(pairs(row), "smoke", seeds=[seed], records=folder)
                assert same_run(together[alone["hash"]], alone)

    def test_not_a_number_in_one_of_three_leaves_the_others_alone(self, with_teacher, taught, tmp_path, poisoned):
        folder = tmp_path / "clean"
        shutil.copytree(taught, folder)
        first, failed, last = run(pairs(STUDENT, poisoned, KD), "smoke")
        clean = run(pairs(STUDENT, KD), "smoke", records=folder)
        assert same_run(first, clean[0]) and same_run(last, clean[1])
        assert failed["status"] == "failed" and failed["failure"]["term"] == "student/poison"
        assert (failed["failure"]["stage"], failed["failure"]["step"]) == ("main", 2)

    def test_a_failed_run_makes_the_request_a_failure(self, with_teacher, poisoned):
        found = carry_out(Request.of(pairs(STUDENT, poisoned), "smoke"))
        assert found.status == 1 and len(found.records) == 2
        assert found.lacking[0].startswith("poisoned, seed 0 failed at stage main, step 2")


class TestUnfinished:
    """What the command promises after a kill (see test_faults), for what ends more gently."""

    ROWS = (STUDENT, KD)

    def request(self) -> Request:
        return Request.of(pairs(*self.ROWS, steps=150), "smoke")

    @pytest.fixture
    def undisturbed(self, taught, tmp_path) -> list:
        shutil.copytree(taught, tmp_path / "undisturbed")
        return carry_out(self.request(), Store(tmp_path / "undisturbed")).records

    def test_a_stop_in_the_middle_goes_on_with_the_same_bits(self, with_teacher, undisturbed, monkeypatch):
        moments = iter([False] * 101)
        monkeypatch.setattr(running, "_deadline", lambda end: lambda: next(moments, True))
        stopped = carry_out(self.request())
        assert stopped.status == 3 and stopped.records == [] and len(list(with_teacher.rglob("*.checkpoint"))) == 2
        monkeypatch.undo()
        found = carry_out(self.request(), Store(with_teacher))
        assert all(same_run(one, two) for one, two in zip(found.records, undisturbed, strict=True))
        assert {record["provenance"]["resumed"] for record in found.records} == {1}

    def test_a_damaged_checkpoint_is_said_in_a_line_and_the_run_begins_anew(self, with_teacher, undisturbed, caplog):
        for number, record in enumerate(undisturbed):
            path = Store().path("pairs", record["hash"], "checkpoint")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"PK\x03\x04" * 700 if number else b"")
        found = carry_out(self.request())
        assert all(same_run(one, two) for one, two in zip(found.records, undisturbed, strict=True))
        assert len([message for message in caplog.messages if "starts anew" in message]) == 2
        assert not any("\n" in message for message in caplog.messages)

    def test_a_checkpoint_of_another_run_is_not_taken_for_this_ones(self, with_teacher, undisturbed, monkeypatch):
        monkeypatch.setattr(running, "_deadline", lambda end: iter([False] * 60 + [True] * 9).__next__)
        carry_out(self.request())
        monkeypatch.undo()
        monkeypatch.setenv("KDCORE_RUNS", str(with_teacher))
        one, two = (Store().path("pairs", record["hash"], "checkpoint") for record in undisturbed)
        one.write_bytes(two.read_bytes())
        found = carry_out(self.request())
        assert all(same_run(mine, theirs) for mine, theirs in zip(found.records, undisturbed, strict=True))


class TestTeacher:
    def test_is_trained_first_kept_and_found_again(self, own_store):
        experiment = Experiment(
            "chain",
            "",
            (
                Row(
                    "student", settings={"teacher": {"experiment": "chain", "row": "teacher"}, "methods": [["kd", {}]]}
                ),
                Row("teacher", settings={"teacher": None, "student": "digits-teacher"}, keep=True),
            ),
            (3,),
            {"smoke": Profile(STEPS, DIGITS)},
        )
        student, teacher = run(experiment, "smoke")
        path = own_store / "chain" / f"{teacher['hash']}.safetensors"
        assert student["inputs"]["teacher"] == teacher["weights"] and path.exists()

    def test_that_is_lost_or_damaged_is_trained_again(self, with_teacher):
        (path,) = (with_teacher / "digits-teacher").glob("*.safetensors")
        whole = path.read_bytes()
        (first,) = run(pairs(KD), "smoke")
        path.write_bytes(whole[:-100])
        (again,) = run(pairs(Row("kd-again", settings=KD.settings)), "smoke")
        assert path.read_bytes() == whole and again["hash"] == first["hash"]

    def test_other_weights_make_another_run(self, with_teacher):
        settings = {**KD.settings, "teacher": {"experiment": "digits-teacher", "row": "teacher", "seed": 1}}
        one, two = run(pairs(KD, Row("kd-other", settings=settings)), "smoke")
        assert one["hash"] != two["hash"]

    def test_without_a_kept_network_is_refused(self):
        settings = {"methods": [["kd", {}]], "teacher": {"experiment": "pairs", "row": "student"}}
        with pytest.raises(Refusal, match="row student of pairs keeps no network to learn from"):
            run(pairs(STUDENT, Row("kd", settings=settings)), "smoke")

    def test_can_be_had_as_a_network(self, with_teacher):
        network = trained("digits-teacher", "teacher", profile="smoke", seed=0, device="cpu")
        assert not network.training and network(torch.zeros(2, 1, 8, 8)).logits.shape == (2, 10)


class TestRefusals:
    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"methods": [["kd", {"temperature": -1}]]}, "row kd of pairs: temperature must be above 0, got -1"),
            ({"methods": [["kd", {"temprature": 1}]]}, "unknown setting of kd 'temprature'.*nearest is 'temperature'"),
            ({"methods": [["kdd", {}]]}, "'kdd' is no key of the catalogue, the nearest is 'k"),
            ({"methods": [["softened-softmax", {}]]}, "softened-softmax is a loss and not a method"),
            ({"scheme": "kd"}, "kd is a loss and not a scheme"),
            ({"teacher": None}, "a method needs a teacher, and the row has none"),
            ({"student": "digits-studnt"}, "digits-studnt.*nearest name is 'digits-student'"),
            ({"data": "digit"}, "digit.*nearest name is 'digits'"),
            ({"student": "resnet20"}, r"images must have shape \(batch, 3, height, width\)"),
        ],
    )  # fmt: skip
    def test_what_cannot_work_is_refused_before_anything_is_trained(self, with_teacher, settings, says):
        before = sorted(path for path in with_teacher.rglob("*.jsonl"))
        with pytest.raises(ValueError, match=says):
            run(pairs(STUDENT, Row("kd", settings={**KD.settings, **settings})), "smoke")
        assert sorted(path for path in with_teacher.rglob("*.jsonl")) == before

    def test_and_before_a_teacher_is_trained_for_it(self, own_store):
        with pytest.raises(Refusal, match="temperature must be above 0"):
            run(pairs(Row("kd", settings={"methods": [["kd", {"temperature": 0}]]})), "smoke")
        assert not list(own_store.rglob("*.jsonl"))

    def test_a_teacher_of_other_classes_is_refused(self, monkeypatch):
        source = {"row": "teacher", "network": "digits-teacher", "classes": 7}
        bench = Bench(data_named("digits-100", "cpu"), "digits-student", source, Recipe(steps=1), 0)
        with pytest.raises(Refusal, match="teacher teacher knows 7 classes, data digits-100 has 10"):
            _ = bench.teacher

    def test_a_run_that_diverges_is_no_refusal(self, with_teacher, poisoned):
        settings = pairs(poisoned).settings(poisoned, "smoke")
        settings["teacher"] = {"row": "teacher", "network": "digits-teacher", "classes": 10}
        assert image.rehearse(seed=0, profile="smoke", recipe=Recipe(steps=9), device="cpu", **settings) is None


class TestBench:
    def test_weights_depend_on_seed_and_role_alone(self):
        def bench(seed: int) -> Bench:
            return Bench(data_named("digits-100", "cpu"), "digits-student", None, Recipe(steps=1), seed)

        one, same, role, seed = (
            weights_digest(network.state_dict())
            for network in (
                bench(0).network(),
                bench(0).network(),
                bench(0).network("peer"),
                bench(1).network(),
            )
        )
        assert one == same and len({one, role, seed}) == 3

    def test_a_methods_weights_depend_on_the_seed_and_its_key(self):
        source = {"row": "teacher", "network": "digits-teacher", "classes": 10}
        data = data_named("digits-100", "cpu")
        benches = [Bench(data, "digits-student", source, Recipe(steps=1), seed) for seed in (0, 0, 1)]
        one, same, other = (weights_digest(each.method("pad").state_dict()) for each in benches)
        assert one == same != other

    def test_data_and_networks_may_be_ones_own(self):
        assert network_named({"name": "torch.nn:Linear", "out_features": 3}, 5).weight.shape == (3, 5)
        data = data_named("kdcore.data.digits:load_labelled", "cpu")
        assert len(data) == 100

    def test_all_runs_share_one_data_set_and_one_teacher(self):
        source = {"row": "teacher", "network": "digits-teacher", "classes": 10}
        data = data_named("digits-100", "cpu")
        assert data_named("digits-100", "cpu") is data
        rates = [Recipe(steps=1, learning_rate=rate) for rate in (0.1, 0.2)]
        one, two = (Bench(data, "digits-student", source, recipe, 0).teacher for recipe in rates)
        assert one is two and not any(p.requires_grad for p in one.parameters())

    def test_an_untrained_teacher_starts_apart_from_a_student_of_its_kind(self):
        source, data = {"network": "digits-student"}, data_named("digits-100", "cpu")
        bench = Bench(data, "digits-student", source, Recipe(steps=1), 0)
        assert weights_digest(bench.teacher.state_dict()) != weights_digest(bench.network().state_dict())

    def test_an_untrained_teachers_maps_keep_their_size_from_stage_to_stage(self):
        images = torch.rand(64, 3, 32, 32, generator=generator("noise"))
        data = Data(images, torch.arange(64) % 10, Task(), {"weak": lambda inputs, random: inputs}, classes=10)
        bench = Bench(data, "resnet20", {"network": "resnet56"}, Recipe(steps=1), 0)
        spread = [maps.std().item() for maps in bench.teacher(images).features]
        assert min(spread) > 0.3 and max(spread) < 5

    def test_a_trial_is_judged_by_one_batch_of_the_test_split(self):
        whole, few = (data_named("digits-100", "cpu", judge) for judge in ("test", "batch"))
        assert few.splits.keys() == {"test"} and len(few.splits["test"]) == benches.TRIED < len(whole.splits["test"])
        assert few.splits["test"].targets.equal(whole.splits["test"].targets[: benches.TRIED])

    def test_a_search_never_sees_the_test_split(self):
        plain, search = data_named("digits-100", "cpu"), data_named("digits-100", "cpu", "validation")
        assert len(plain.splits["test"]) == 597
        assert set(search.splits) == {"test"} and len(search.splits["test"]) == 200


class TestWeights:
    def test_come_back_as_they_were_saved(self, tmp_path):
        network = network_named("digits-student", 10)
        digest = save_weights(network, tmp_path / "w.safetensors")
        source = {"network": "digits-student", "classes": 10, "weights": str(tmp_path / "w.safetensors")}
        assert weights_digest(raw_teacher(source).state_dict()) == digest == weights_digest(network.state_dict())

    def test_in_half_precision_everybody_gets_the_same_rounded_values(self, tmp_path):
        network = network_named("digits-student", 10)
        digest = save_weights(network, tmp_path / "w.safetensors", half=True)
        stored = read_weights(tmp_path / "w.safetensors")
        assert {value.dtype for value in stored.values()} == {torch.float16, torch.int64}
        assert weights_digest(stored) == digest != weights_digest(network.state_dict())
        source = {"network": "digits-student", "classes": 10, "weights": str(tmp_path / "w.safetensors")}
        one, other = (raw_teacher(source).state_dict() for _ in range(2))
        for name, value in network.state_dict().items():
            expected = value.half().float() if value.is_floating_point() else value
            assert torch.equal(one[name], expected) and torch.equal(other[name], expected)
            assert one[name].dtype == value.dtype

    def test_what_half_precision_cannot_hold_is_not_kept_as_infinity(self, tmp_path):
        network = torch.nn.Linear(1, 1)
        torch.nn.init.constant_(network.bias, 1e6)
        with pytest.raises(ValueError, match="bias is too large to be kept in half precision, its largest is 1e"):
            save_weights(network, tmp_path / "w.safetensors", half=True)
        assert not list(tmp_path.iterdir())

    def test_students_learn_from_the_halved_teacher_and_their_hash_says_so(self, own_store):
        asked = {"data": "digits", "student": "digits-teacher", "teacher": None}
        for half in (False, True):
            keeping = Row("keeping", settings=asked, keep=True, half=half)
            learning = Row(
                "kd", settings={"methods": [["kd", {}]], "teacher": {"experiment": "pairs", "row": "keeping"}}
            )
            kept, taught = run(pairs(keeping, learning, steps=2), "smoke", records=own_store / str(half))
            assert taught["inputs"]["teacher"] == kept["weights"]
            path = Store(own_store / str(half)).path("pairs", kept["hash"], "safetensors")
            kinds = {value.dtype for value in read_weights(path).values()}
            assert (torch.float16 in kinds) == half and weights_digest(read_weights(path)) == kept["weights"]

    def test_digest_changes_with_a_value_a_name_and_a_shape(self):
        base = {"a": torch.arange(4.0)}
        others = [{"a": torch.arange(4.0) + 1e-6}, {"b": torch.arange(4.0)}, {"a": torch.arange(4.0).view(2, 2)}]
        assert len({weights_digest(each) for each in (base, *others)}) == 4


class TestSearch:
    def test_judges_rows_at_every_scale_with_its_own_seeds(self, with_teacher):
        row = Row("kd", settings=KD.settings, search={"weight": 0.9})
        records = run(pairs(STUDENT, row), "smoke", search=True)
        assert len(records) == 8 and {record["experiment"] for record in records} == {"pairs-search"}
        assert {record["row"] for record in records} == {"kd-x1", "kd-x0.1", "kd-x0.01", "kd-x0.001"}
        assert all(record["settings"]["judge"] == "validation" for record in records)
        assert Store().read("pairs") == []


def test_the_first_number_that_is_none_is_found():
    assert not_finite({"a": 1.0, "b": [1, {"c": float("nan")}]}) == "b.1.c"
    assert not_finite({"a": 1.0, "b": None, "c": "nan"}) is None
    assert not_finite(float("inf")) == "the result"


def test_outputs_stay_what_networks_say():
    assert isinstance(network_named("digits-student", 10)(torch.zeros(1, 1, 8, 8)), Outputs)
