"""What the library knows of an experiment, for tables that are given its name; loaded only when it is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from kdcore.reporting.selection import Record, of_one_kind, sound
from kdcore.reporting.selection.companies import Wanted, made_from


def known(experiment: Any) -> Any:
    """The experiment behind a key, None for a key that the library does not have; anything else as it is."""
    if not isinstance(experiment, str):
        return experiment
    from kdcore.entry import Refusal
    from kdcore.experiments import get

    try:
        return get(experiment)
    except Refusal:
        return None


def outdated_parts(revision: Any) -> Sequence[str]:
    """The parts of a record's revision that have a newer one in the library's code."""
    if not isinstance(revision, Mapping):
        return ()
    from kdcore.experiments.revisions import outdated

    return outdated(revision)


def wanted_now(about: Any, records: Sequence[Any], profile: str | None, device: str | None) -> Wanted:
    """What each row would be made from today; nothing where the experiment is not one of the library's."""
    if not hasattr(about, "profiles"):
        return {}
    from kdcore.experiments.requests import Request

    _, profile, device, _ = of_one_kind(sound(records, about.key)[0], profile, device)
    if profile not in about.profiles:
        return {}
    request = Request.of(about, profile, device)
    runs = [request.run(row, request.seeds[0]) for row in request.rows]
    return {run.row.key: made_from(run.settings, asdict(run.recipe), {"row": run.row.revision}) for run in runs}


def teachers_of(records: Iterable[Any], about: Any) -> list[Record]:
    """Records of the very networks that taught, found by their weights in the experiments that trained them.

    A table of committed records alone looks among committed records alone, so that it does not depend on this machine.
    """
    if not hasattr(about, "profiles"):
        return []
    from kdcore.experiments import read

    students, _ = sound(list(records), about.key)
    weights = {(record.get("inputs") or {}).get("teacher") for record in students} - {None}
    places = {place for record in students if (place := _trained_in((record.get("settings") or {}).get("teacher")))}
    where = "published" if all(record.get("origin") == "published" for record in students) else "both"
    found = [record for place in sorted(places - {about.key}) for record in read(place, where)]
    return [record for record in found if record.get("weights") in weights]


def _trained_in(setting: Any) -> str | None:
    return setting.get("experiment") if isinstance(setting, Mapping) else None
