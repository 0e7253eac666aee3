"""Which methods fit which pair, and that no experiment has a row that its own networks refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from kdcore import data, experiments
from kdcore.entry import Refusal
from kdcore.experiments import fits
from kdcore.experiments.bench import entry_of
from kdcore.experiments.fits import PAIRS, Sizes, build, images, refusals
from kdcore.experiments.types import TRAINING, Experiment, Row
from kdcore.recipe import Recipe
from kdcore.types import Scheme

LISTED = yaml.safe_load(Path(__file__).with_name("refusals.yaml").read_text(encoding="utf-8"))
REASONS = ("shape", "architecture", "modality")
CLASSES = {"cifar10": 10, "cifar100": 100}


def listed(pair: str) -> dict[str, str]:
    """Key to sentence, of the list that people read and agreed to."""
    found = LISTED[pair].values()
    return {key: sentence for said in found for sentence, keys in said.items() for key in keys.split()}


class TestRefusals:
    @pytest.mark.parametrize(
        ("pair", "says"), [(pair, listed(pair.key)) for pair in PAIRS], ids=lambda one: getattr(one, "key", "list")
    )
    def test_are_those_that_are_listed_each_with_its_sentence(self, pair, says):
        """Where this fails a method has begun to fit, or to refuse, or says it otherwise: see that the reason is good,
        and put it into ``refusals.yaml``."""
        assert dict(sorted(refusals(pair).items())) == dict(sorted(says.items()))

    @pytest.mark.parametrize("pair", PAIRS, ids=[pair.key for pair in PAIRS])
    def test_have_no_other_reasons_than_shape_architecture_and_modality(self, pair):
        assert set(LISTED[pair.key]) <= set(REASONS)
        assert all(sentence[0].isalpha() and len(sentence) > 40 for sentence in listed(pair.key).values())

    def test_every_method_and_scheme_fits_some_pair_or_needs_data_of_its_own(self):
        everywhere = set.intersection(*(set(listed(pair.key)) for pair in PAIRS))
        assert everywhere == {"apd", "structure-compilation"}

    def test_nothing_has_a_value(self):
        bench = Sizes(images(10), "resnet20", {"network": "resnet56"}, Recipe(steps=1), 0)
        scheme = build(entry_of("fitnet"), bench)
        held = [*scheme.parameters(), *scheme.buffers(), *bench.teacher.parameters()]
        assert len(held) > 100 and all(one.is_meta for one in held)

    def test_what_is_no_refusal_comes_through(self, monkeypatch):
        from kdcore.losses.response.distillation import KD

        monkeypatch.setattr(fits, "tried", lambda: [entry_of("kd")])
        monkeypatch.setattr(KD, "build", classmethod(lambda cls, setting, **settings: cls(unheard_of=1)))
        with pytest.raises(TypeError, match="unheard_of"):
            refusals(PAIRS[0])


# ---------------------------------------------------------------- rows of experiments


def sizes(settings: dict[str, Any], profile: str) -> Sizes:
    """A bench of a row's networks, its teachers by their networks' names."""
    teacher = by_name(settings.pop("teacher", None) or {}, profile)
    if "others" in settings:
        settings["others"] = [by_name(other, profile) for other in settings["others"]]
    return Sizes(images(CLASSES[name_of(settings.pop("data"))]), settings.pop("student"), teacher, Recipe(steps=1), 0)


def name_of(asked: Any) -> str | None:
    """The data set's name, whatever else is said of it."""
    return asked.get("name") if isinstance(asked, dict) else asked


def by_name(teacher: dict[str, Any], profile: str) -> dict[str, Any]:
    if "checkpoint" in teacher:
        return {"network": data.asset(teacher["checkpoint"]).architecture}
    if not teacher:
        return teacher
    taught = experiments.get(teacher["experiment"])
    return {"network": taught.settings(taught.row(teacher["row"]), profile)["student"]}


def built(row: Row, experiment: Experiment, profile: str) -> Scheme:
    settings = experiment.settings(row, profile)
    bench, entry = sizes(settings, profile), entry_of(settings.pop("scheme", "distillation"))
    settings.pop("recipe", None), settings.pop("budget", None), settings.pop("judge", None)
    return entry.make.build(bench, **{**entry.settings, **settings})


def on_photographs() -> list[tuple[Experiment, str]]:
    return [
        (experiment, profile)
        for experiment in experiments.all()
        for profile in experiment.profiles
        if name_of(experiment.profile(profile).settings.get("data")) in CLASSES
    ]


BUILT: set[str] = set()


class TestRows:
    @pytest.mark.parametrize(("experiment", "profile"), on_photographs(), ids=lambda one: getattr(one, "key", one))
    def test_can_be_built_for_the_networks_of_their_profile(self, experiment, profile):
        """A row that stands in several experiments is built once."""
        for row in experiment.rows:
            mark = json.dumps(experiment.settings(row, profile), sort_keys=True)
            if row.measure == TRAINING and mark not in BUILT:
                assert built(row, experiment, profile).stages(), row.key
                BUILT.add(mark)

    def test_matching_channels_pairs_stages_of_one_size_where_the_student_has_more_channels(self):
        """The pair of zhao2026's Table 2: stages of one number are refused, the row's own are not."""
        feature = experiments.get("feature")
        row = feature.row("mgd-matching")
        (method,) = built(row, feature, "paper").methods
        assert method.pairs == ((0, 1), (1, 2))
        bench = sizes(feature.settings(row, "paper"), "paper")
        with pytest.raises(Refusal, match="every channel of the student needs one of the teacher's"):
            bench.method("mgd-matching")
        for mine, theirs in method.pairs:
            student, teacher = bench.setting.student.features[mine], bench.setting.teacher.features[theirs]
            assert student.shape[2:] == teacher.shape[2:] and student.shape[1] <= teacher.shape[1]
