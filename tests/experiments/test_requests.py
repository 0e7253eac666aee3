from __future__ import annotations

import pytest

from kdcore.entry import Refusal
from kdcore.experiments.requests import Request, parse_duration, parse_overrides, parse_seeds, references
from kdcore.experiments.types import Experiment, Profile, Row


@pytest.fixture
def experiment() -> Experiment:
    rows = (
        Row("student", settings={"teacher": None}),
        Row("kd", settings={"methods": [["kd", {}]]}),
        Row("kd-at", settings={"methods": [["kd", {"weight": 0.5}], ["at", {}]], "recipe": {"learning_rate": 0.01}}),
        Row("unix", settings={"scheme": "unix-kd", "keep": 0.75}),
    )
    base = {"data": "digits-100", "student": "digits-student", "teacher": {"experiment": "t", "row": "r"}}
    return Experiment("pairs", "Pairs", rows, (0, 1), {"quick": Profile({"steps": 5}, base)})


def settings_of(experiment: Experiment, row: str, **options: object) -> dict:
    request = Request.of(experiment, methods=[row], **options)
    return request.runs()[0].settings


class TestRequest:
    def test_is_rows_times_seeds(self, experiment):
        assert [run.name for run in Request.of(experiment, seeds=[0, 3], methods=["kd", "student"]).runs()] == [
            "kd, seed 0",
            "student, seed 0",
            "kd, seed 3",
            "student, seed 3",
        ]

    def test_a_row_is_found_by_its_method_where_no_row_is_called_so(self, experiment):
        assert [row.key for row in Request.of(experiment, methods=["unix-kd"]).rows] == ["unix"]
        assert [row.key for row in Request.of(experiment, methods=["kd"]).rows] == ["kd"]

    def test_an_option_is_the_first_methods(self, experiment):
        found = settings_of(experiment, "kd-at", overrides={"kd-at.weight": 0.1})
        assert found["methods"] == [["kd", {"weight": 0.1}], ["at", {}]]

    def test_an_option_of_another_method_names_it(self, experiment):
        found = settings_of(experiment, "kd-at", overrides={"kd-at.at.weight": 3.0})
        assert found["methods"] == [["kd", {"weight": 0.5}], ["at", {"weight": 3.0}]]

    def test_an_option_of_a_scheme_stands_on_its_own(self, experiment):
        assert settings_of(experiment, "unix", overrides={"unix.keep": 0.5})["keep"] == 0.5
        assert settings_of(experiment, "unix", overrides={"unix.temperature": 2.0})["temperature"] == 2.0

    def test_data_networks_and_the_labels_weight_are_the_rows(self, experiment):
        assert settings_of(experiment, "kd", overrides={"kd.task_weight": 1.0})["task_weight"] == 1.0
        assert settings_of(experiment, "kd", overrides={"kd.student": "resnet8"})["student"] == "resnet8"

    def test_the_recipe_is_everybodys_and_a_rows_own_comes_on_top(self, experiment):
        request = Request.of(experiment, overrides={"recipe.steps": 9}, precision="bfloat16", compile=True)
        assert {(run.recipe.steps, run.recipe.precision, run.recipe.compile) for run in request.runs()} == {
            (9, "bfloat16", True)
        }
        assert {run.row.key: run.recipe.learning_rate for run in request.runs()}["kd-at"] == 0.01

    def test_only_what_is_changed_counts_as_a_variant(self, experiment):
        request = Request.of(experiment, overrides={"kd.temperature": 2.0, "recipe.steps": 5}, precision="float32")
        assert {run.row.key: run.variant for run in request.runs()} == {
            "student": {},
            "kd": {"kd.temperature": 2.0},
            "kd-at": {},
            "unix": {},
        }
        assert request.variant == {"kd.temperature": 2.0}

    def test_what_changes_nothing_is_no_variant(self, experiment):
        assert Request.of(experiment, overrides={"kd-at.weight": 0.5}).variant == {}

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"profile": "quik"}, "unknown profile 'quik'.*nearest is 'quick'"),
            ({"profile": "paper"}, "has no profile 'paper', it has quick"),
            ({"methods": ["studnt"]}, "unknown method in pairs 'studnt'.*nearest is 'student'"),
            ({"overrides": {"kdd.temperature": 1}}, "unknown row in --set 'kdd'.*nearest is 'kd'"),
            ({"overrides": {"recipe.epoch": 1}}, "unknown recipe option 'epoch'.*nearest is 'epochs'"),
            ({"overrides": {"recipe.epochs": -1}}, "recipe: epochs must be above 0, got -1"),
            ({"precision": "half"}, "precision must be one of float32, bfloat16, got 'half'"),
        ],
    )
    def test_the_first_wrong_name_is_refused(self, experiment, options, says):
        with pytest.raises(Refusal, match=says):
            Request.of(experiment, **options)

    @pytest.mark.parametrize(
        ("override", "says"),
        [
            ({"unix.kep": 1}, "unknown option of row unix 'kep'.*nearest is 'keep'"),
            ({"unix.temperatur": 1}, "unknown option of row unix 'temperatur'.*nearest is 'temperature'"),
            ({"student.keep": 1}, "unknown option of row student 'keep'"),
            ({"kd-at.att.weight": 1}, "unknown method in row kd-at 'att'.*nearest is 'at'"),
        ],
    )
    def test_a_wrong_option_is_refused_when_the_row_is_made(self, experiment, override, says):
        with pytest.raises(Refusal, match=says):
            Request.of(experiment, overrides=override).runs()


class TestIdentity:
    def test_revisions_are_those_of_step_scheme_methods_and_networks(self, experiment):
        (run,) = Request.of(experiment, methods=["kd-at"], seeds=[0]).runs()
        head = run.identity({"data": "content"})
        assert set(head["revision"]) == {"step", "distillation", "kd", "at", "digits-student", "row"}

    def test_the_kind_of_device_counts_and_its_number_does_not(self, experiment):
        heads = [Request.of(experiment, device=device).runs()[0].identity({}) for device in ("cuda", "cuda:1", "cpu")]
        assert heads[0]["hash"] == heads[1]["hash"] != heads[2]["hash"]

    def test_references_are_settings_that_name_a_row_of_an_experiment(self):
        found = references({"data": "digits", "teacher": {"experiment": "t", "row": "r"}, "student": {"name": "x"}})
        assert list(found) == [("teacher", {"experiment": "t", "row": "r"})]


class TestWords:
    @pytest.mark.parametrize(
        ("text", "seeds"), [("0", (0,)), ("0,1,2", (0, 1, 2)), ("0-4", (0, 1, 2, 3, 4)), ("7, 0-1,7", (7, 0, 1))]
    )
    def test_seeds(self, text, seeds):
        assert parse_seeds(text) == seeds

    @pytest.mark.parametrize("text", ["", "one", "1.5", "-1", "3-1", "1-", "1;2"])
    def test_seeds_that_are_no_numbers(self, text):
        with pytest.raises(Refusal, match=r"seeds must be numbers like 0, 0,1,2 or 0-4, got"):
            parse_seeds(text)

    @pytest.mark.parametrize(
        ("text", "value"),
        [("a.b=2", 2), ("a.b=-1", -1), ("a.b=1e-3", 1e-3), ("a.b=true", True), ("a.b=null", None), ("a.b=at", "at")],
    )
    def test_overrides_are_plain_values(self, text, value):
        assert parse_overrides([text]) == {"a.b": value}

    @pytest.mark.parametrize("text", ["kd.temperature", "temperature=2", "kd.temperature=", "=2"])
    def test_overrides_that_are_none(self, text):
        with pytest.raises(Refusal, match=r"--set expects ROW\.OPTION=VALUE"):
            parse_overrides([text])

    @pytest.mark.parametrize(
        ("text", "seconds"), [("90s", 90), ("25m", 1500), ("1h30m", 5400), ("2h", 7200), ("0.5s", 0.5)]
    )
    def test_times(self, text, seconds):
        assert parse_duration(text) == seconds

    @pytest.mark.parametrize("text", ["", "25", "m", "25x", "1..5h", "-3m", "0m", "3m 20"])
    def test_times_that_are_none(self, text):
        with pytest.raises(Refusal, match="a time must be written like 90s, 25m or 1h30m"):
            parse_duration(text)
