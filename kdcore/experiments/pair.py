"""One teacher and one student from the command line: an experiment of one row, under the profile's own recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdcore.entry import Refusal
from kdcore.experiments import profiles
from kdcore.experiments.types import PROFILES, Experiment, Profile, Row, unknown
from kdcore.recipe import Recipe

BASES = {"smoke": profiles.SMOKE, "quick": profiles.QUICK, "short": profiles.SHORT, "paper": profiles.PAPER10}
KEY = "train"
TRIAL = "with --steps the rate stays where the training would begin, and one batch of the test split is judged"


def pair(
    profile: str, *, student: str = "", teacher: str = "", method: str = "", data: str = "", steps: int | None = None
) -> Experiment:
    """The experiment ``train``: what is not named is the profile's own, as the student can follow it (`suited`).

    With `steps` it is a trial: a teacher that nobody trained will do, and one batch is judged (see `said_of`).

    Args:
        profile: whose recipe, and whose data, student and teacher where none is named.
        student: a network by name.
        teacher: a public checkpoint, or ``EXPERIMENT`` or ``EXPERIMENT/ROW`` that trains the network; with `steps`
            also a network by name, untrained.
        method: a key of the catalogue; none trains the student alone.
        data: a data set by name.
        steps: in place of the profile's length, all at the rate with which it begins.

    Raises:
        Refusal: a name is unknown.
    """
    if profile not in BASES:
        raise unknown("profile", profile, PROFILES)
    base = BASES[profile]
    settings = {**base.settings, "teacher": None}
    if data:
        settings["data"] = _data(data)
    if student:
        settings["student"] = student
    if method:
        found = _teacher(teacher, trial=bool(steps)) if teacher else base.settings["teacher"]
        settings |= _method(method) | {"teacher": found}
    elif teacher:
        raise Refusal(f"teacher {teacher} needs a --method to learn by, got none")
    recipe = profiles.suited(base.recipe, settings["student"])
    if steps:
        recipe, settings["judge"] = _begun(recipe, steps), "batch"
    row = Row(method or "student", settings=settings)
    return Experiment(KEY, "One pair", (row,), (0,), {profile: Profile(recipe)})


def _begun(recipe: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """The rate at which the profile's training begins, all the while: a rise and a fall in so few steps are no trial
    of it, and published weights do not survive them."""
    return {**recipe, "steps": steps, "schedule": "constant", "learning_rate": Recipe(**recipe).rate(0.0)}


def said_of(asked: Experiment) -> list[str]:
    """What a trial leaves out, one sentence each; nothing of a training in full."""
    (row,) = asked.rows
    if row.settings.get("judge") != "batch":
        return []
    teacher = row.settings.get("teacher") or {}
    untrained = [f"teacher {teacher['network']} has no weights and is taken untrained"] if "network" in teacher else []
    return [*untrained, TRIAL]


def _data(name: str) -> str:
    from kdcore.data import names

    known = [known for kind in ("images", "text") for known in names(kind)]
    if name not in known:
        raise unknown("data set", name, known)
    return name


def _method(key: str) -> dict[str, Any]:
    """A method of the catalogue, or a scheme that needs no method."""
    from kdcore.catalogue import entries

    known = {entry.key: entry.kind for entry in entries() if entry.kind in ("loss", "scheme", "fusion")}
    if key not in known:
        raise unknown("method", key, known)
    return {"methods": [[key, {}]]} if known[key] == "loss" else {"scheme": key}


def _teacher(name: str, trial: bool) -> dict[str, Any]:
    """A network by name: a checkpoint, or a row that keeps what it trained; for a trial one that nobody trained."""
    from kdcore import data, experiments

    if name in data.names("checkpoint"):
        return {"checkpoint": name}
    key, _, row = name.partition("/")
    kept = [each.key for each in experiments.all() if any(row.keep for row in each.rows)]
    if key not in experiments.names():
        return _untrained(name, trial, [*data.names("checkpoint"), *kept])
    experiment = experiments.get(key)
    return {"experiment": key, "row": experiment.row(row or experiment.rows[0].key).key, "seed": 0}


def _untrained(name: str, trial: bool, finished: list[str]) -> dict[str, Any]:
    from kdcore import models

    if name not in models.names():
        raise unknown("teacher", name, finished)
    if not trial:
        raise Refusal(
            f"teacher {name} has no weights: name a checkpoint, or an experiment that trains it, or try the pair with "
            "it untrained, for a few --steps"
        )
    return {"network": name}
