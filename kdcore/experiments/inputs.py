"""What a run stands on: the content of its data and the weights of its teachers, found before it is named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kdcore.entry import Refusal
from kdcore.experiments.requests import Request, Wanted, checkpoints, placed, references
from kdcore.experiments.store import Record, Store

Key = tuple[str, str, int]
LABELS = ("experiment", "row", "method", "variant")  # what the hash leaves open


@dataclass(frozen=True, eq=False)
class Planned:
    """A run whose inputs are known, so that it has a hash.

    Attributes:
        run: what is wanted.
        head: the first part of its record.
        settings: its settings with teachers as files.
    """

    run: Wanted
    head: dict[str, Any]
    settings: dict[str, Any]

    @property
    def mark(self) -> str:
        return self.head["hash"]

    def fits(self, record: Record) -> bool:
        """Whether a record of this hash already carries this run's names."""
        return all(record.get(name) == self.head[name] for name in LABELS)

    def relabelled(self, record: Record) -> Record:
        """The same run under this one's names: it was made for another experiment, or its row was renamed."""
        if self.fits(record):
            return record
        source = {"taken_from": f"{record['experiment']}: {record['row']}"}
        labels = {name: self.head[name] for name in LABELS}
        kept = {name: value for name, value in record.items() if name != "weights" or self.run.row.keep}
        return {**kept, **labels, "provenance": {**record["provenance"], **source}}


class Inputs:
    """Looks up what runs stand on; teachers are runs too.

    Args:
        request: what is wanted.
        store: where teachers are.
        device: where data are looked at; None for the runs' own, which may be another machine's.
    """

    def __init__(self, request: Request, store: Store, device: str | None = None):
        self.request, self.store, self.device = request, store, device
        self._planned: dict[Key, Planned] = {}
        self._whole: dict[str, bool] = {}

    def teachers(self, run: Wanted) -> dict[Key, Wanted]:
        """The runs whose networks this one learns from."""
        found = [self._teacher(run, value) for _, value in references(run.settings)]
        return {key_of(teacher): teacher for teacher in found}

    def _teacher(self, run: Wanted, reference: Mapping[str, Any]) -> Wanted:
        from kdcore.experiments import get

        if reference["experiment"] == self.request.experiment.key:
            request = self.request
        else:
            asked = get(reference["experiment"])
            request = Request(asked, reference.get("profile", run.profile), run.device, asked.rows, asked.seeds)
        teacher = request.run(request.experiment.row(reference["row"]), reference.get("seed", run.seed))
        if not teacher.row.keep or (teacher.row.key == run.row.key and teacher.experiment == run.experiment):
            raise Refusal(f"row {teacher.row.key} of {teacher.experiment} keeps no network to learn from")
        return teacher

    def planned(self, run: Wanted) -> Planned | None:
        """The run with its hash; None while a teacher is not in the store."""
        key = key_of(run)
        if key not in self._planned:
            found = self._look_up(run)
            if found is None:
                return None
            settings, inputs = found
            self._planned[key] = Planned(run, run.identity(inputs), settings)
        return self._planned[key]

    def _look_up(self, run: Wanted) -> tuple[dict[str, Any], dict[str, Any]] | None:
        settings, inputs = dict(run.settings), {}
        if "data" in settings:
            data = self._data(run)
            inputs |= {"data": data.digest, "classes": data.classes}
        inputs |= {name: checkpoint_digest(checkpoint) for name, checkpoint in checkpoints(settings)}
        for name, reference in references(run.settings):
            record = self._network(self._teacher(run, reference))
            if record is None:
                return None
            inputs[name], settings = record["weights"], placed(settings, name, self._source(record))
        return settings, inputs

    def _data(self, run: Wanted) -> Any:
        from kdcore.experiments.bench import data_named

        return data_named(run.settings["data"], self.device or run.device, run.settings.get("judge", "test"))

    def source(self, run: Wanted) -> dict[str, Any] | None:
        """A trained network as a bench takes it; None where the store has none."""
        record = self._network(run)
        return record and self._source(record)

    def _source(self, record: Record) -> dict[str, Any]:
        path = self.store.path(record["experiment"], record["hash"], "safetensors")
        network, classes = record["settings"]["student"], record["inputs"]["classes"]
        return {"row": record["row"], "network": network, "classes": classes, "weights": str(path)}

    def _network(self, teacher: Wanted) -> Record | None:
        """The record of a teacher whose network is in the store."""
        planned = self.planned(teacher)
        record = planned and self.store.get(teacher.experiment, planned.mark)
        return record if record and record["status"] == "done" and self.whole(record) else None

    def has_network(self, teacher: Wanted) -> bool:
        return self._network(teacher) is not None

    def whole(self, record: Record) -> bool:
        """Whether a record's network lies beside it as it was saved; a failed run has none and needs none."""
        if record["status"] != "done":
            return True
        path = self.store.path(record["experiment"], record["hash"], "safetensors")
        if not self._whole.get(record["hash"]):
            self._whole[record["hash"]] = path.exists() and weights_digest_of(path) == record.get("weights")
        return self._whole[record["hash"]]

    def why_not(self, run: Wanted) -> str:
        """Why a run has no record: its teacher has none, or failed."""
        for teacher in self.teachers(run).values():
            if not self.has_network(teacher):
                return f"its teacher {teacher.experiment}, {teacher.name} has no network"
        return "another process has lost it"

    def for_rehearsal(self, run: Wanted) -> dict[str, Any]:
        """Its settings with fresh networks in place of trained teachers, since sizes are all that matters."""
        settings = dict(run.settings)
        for name, reference in references(run.settings):
            teacher = self._teacher(run, reference)
            network, classes = teacher.settings["student"], self._data(teacher).classes
            settings = placed(settings, name, {"row": teacher.row.key, "network": network, "classes": classes})
        return settings


def key_of(run: Wanted) -> Key:
    return run.experiment, run.row.key, run.seed


def checkpoint_digest(name: str) -> str:
    """What a public checkpoint must be; that its file is so is seen when it is read."""
    from kdcore import data

    return data.asset(name).sha256


def weights_digest_of(path: Any) -> str | None:
    """The digest of a network in the store; None where the file is damaged."""
    from safetensors import SafetensorError

    from kdcore.experiments.bench import read_weights
    from kdcore.experiments.lockstep import weights_digest

    try:
        return weights_digest(read_weights(path))
    except (SafetensorError, OSError, json.JSONDecodeError):
        return None
