"""From what was asked for, in words, to the runs that are wanted. Loads no torch; every wrong name is refused here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from kdcore.entry import Refusal
from kdcore.experiments.hashing import hash_of
from kdcore.experiments.revisions import STEP, revisions_of
from kdcore.experiments.types import Experiment, Row, make_recipe, resolve, unknown
from kdcore.recipe import Recipe

NETWORKS = ("student", "network", "peers", "assistant", "assistants")  # settings that name networks
TOP = ("data", "student", "teacher", "scheme", "task_weight", "judge")  # settings that are no method's
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
RECIPE = "recipe"  # ``--set recipe.epochs=5`` changes every row's recipe


@dataclass(frozen=True, eq=False)
class Wanted:
    """One run: a row with a seed, with everything that decides it but the content of data and teachers."""

    experiment: str
    row: Row
    seed: int
    profile: str
    device: str
    settings: dict[str, Any]
    recipe: Recipe
    variant: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.row.key}, seed {self.seed}"

    def measure(self) -> Callable[..., Any]:
        """What yields the row's numbers, imported now."""
        return resolve(self.row.measure)

    def arguments(self) -> dict[str, Any]:
        """What every measure is called with beside its settings."""
        return {"seed": self.seed, "profile": self.profile, "recipe": self.recipe, "device": self.device}

    def identity(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The first part of its record, hash included, once the content of its inputs is known."""
        made = {
            "experiment": self.experiment,
            "row": self.row.key,
            "method": self.row.method,
            "seed": self.seed,
            "profile": self.profile,
            "device": self.device.partition(":")[0],
            "measure": self.row.measure,
            "settings": self.settings,
            "recipe": asdict(self.recipe),
            "inputs": dict(inputs),
            "revision": revisions_of(self._parts()) | {"row": self.row.revision},
            "variant": self.variant,
        }
        made = json.loads(json.dumps(made))
        return made | {"hash": hash_of(made)}

    def _parts(self) -> Iterator[str]:
        if "data" not in self.settings:
            return
        yield STEP
        yield self.settings.get("scheme", "distillation")
        yield from (key for key, _ in self.settings.get("methods") or [])
        if untrained := (self.settings.get("teacher") or {}).get("network"):
            yield untrained
        for name in NETWORKS:
            value = self.settings.get(name) or ()
            named = value if isinstance(value, list | tuple) else (value,)
            named = [part for part in named if part and not isinstance(part, int)]  # a number: so many of the student's
            yield from (part if isinstance(part, str) else part["name"] for part in named)


@dataclass(frozen=True)
class Request:
    """Rows and seeds of one experiment under one profile, with what is to be changed about them.

    Attributes:
        overrides: ``row.option`` (of the row's first method or its scheme, or ``data``, ``student``, ...),
            ``row.method.option``, or ``recipe.option``, to a plain value.
    """

    experiment: Experiment
    profile: str
    device: str
    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        profile: str = "quick",
        device: str = "cpu",
        *,
        methods: Sequence[str] | None = None,
        seeds: Sequence[int] | None = None,
        precision: str | None = None,
        compile: bool | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> Request:
        """A request, or a refusal of the first name that is wrong."""
        experiment.profile(profile)
        rows = _chosen(experiment, methods)
        changed = dict(overrides or {})
        changed |= {} if precision is None else {f"{RECIPE}.precision": precision}
        changed |= {} if compile is None else {f"{RECIPE}.compile": compile}
        request = cls(experiment, profile, device, rows, tuple(seeds or experiment.seeds_of(profile)), changed)
        request._check_overrides()
        return request

    def runs(self) -> list[Wanted]:
        return [self.run(row, seed) for seed in self.seeds for row in self.rows]

    def run(self, row: Row, seed: int) -> Wanted:
        """One of the experiment's rows, which need not be among those that were asked for."""
        plain = self.experiment.settings(row, self.profile)
        mine = {name: value for name, value in self.overrides.items() if self._concerns(name, row)}
        settings = dict(plain)
        for name, value in mine.items():
            settings = _changed(settings, name.removeprefix(f"{row.key}."), value, row)
        recipe_changes = {name.removeprefix(f"{RECIPE}."): v for name, v in self.overrides.items() if _of_recipe(name)}
        of_row = settings.get(RECIPE, {})
        plain_recipe = self.experiment.recipe(self.profile, of_row)
        recipe = self.experiment.recipe(self.profile, {**of_row, **recipe_changes})
        variant = mine if settings != plain else {}
        if recipe != plain_recipe:
            before, after = asdict(plain_recipe), asdict(recipe)
            variant = variant | {f"{RECIPE}.{name}": after[name] for name in after if after[name] != before[name]}
        settings.pop(RECIPE, None)
        return Wanted(self.experiment.key, row, seed, self.profile, self.device, settings, recipe, dict(variant))

    @property
    def variant(self) -> dict[str, Any]:
        """All changes that make a difference to some run."""
        return {name: value for row in self.rows for name, value in self.run(row, self.seeds[0]).variant.items()}

    def _concerns(self, name: str, row: Row) -> bool:
        return name.startswith(f"{row.key}.") and not _of_recipe(name)

    def _check_overrides(self) -> None:
        changes = {}
        for name, value in self.overrides.items():
            if _of_recipe(name):
                changes[name.removeprefix(f"{RECIPE}.")] = value
            elif not any(self._concerns(name, row) for row in self.rows):
                keys = [row.key for row in self.rows]
                raise unknown("row in --set", name.partition(".")[0], [*keys, RECIPE])
        make_recipe({**self.experiment.profile(self.profile).recipe, **changes})


def _of_recipe(name: str) -> bool:
    return name.startswith(f"{RECIPE}.")


def _chosen(experiment: Experiment, methods: Sequence[str] | None) -> tuple[Row, ...]:
    """Rows by their own names or by their methods' keys; all where none is named."""
    if not methods:
        return experiment.rows
    chosen: list[Row] = []
    for name in methods:
        found = [row for row in experiment.rows if row.key == name]
        found = found or [row for row in experiment.rows if row.method == name]
        if not found:
            raise unknown(f"method in {experiment.key}", name, [row.key for row in experiment.rows])
        chosen += [row for row in found if row not in chosen]
    return tuple(chosen)


def _changed(settings: dict[str, Any], option: str, value: Any, row: Row) -> dict[str, Any]:
    """Settings with one option replaced: a top one's, the named method's, or the first method's."""
    methods = settings.get("methods") or []
    if option in TOP or not methods:
        if option not in TOP and option not in settings and option not in (own := _options(settings)):
            raise unknown(f"option of row {row.key}", option, sorted({*settings, *TOP, *own}))
        return {**settings, option: value}
    method, _, rest = option.rpartition(".")
    keys = [key for key, _ in methods]
    if method and method not in keys:
        raise unknown(f"method in row {row.key}", method, keys)
    at = keys.index(method) if method else 0
    changed = [[key, {**own, rest: value} if number == at else own] for number, (key, own) in enumerate(methods)]
    return {**settings, "methods": changed}


def _options(settings: Mapping[str, Any]) -> list[str]:
    """What the row's scheme takes beside what the row says of it."""
    from kdcore.experiments.bench import options_of

    return options_of(settings["scheme"]) if "scheme" in settings else []


def references(settings: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Settings that stand for the network another row trained, by the name of the setting.

    Example:
        >>> trained = {"experiment": "digits-teacher", "row": "teacher", "seed": 1}
        >>> [name for name, _ in references({"teacher": trained, "others": [trained, trained], "weight": 1.0})]
        ['teacher', 'others.0', 'others.1']
    """
    for name, value in _named_values(settings):
        if "experiment" in value and "row" in value:
            yield name, value


def checkpoints(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Settings that stand for a public checkpoint, by the name of the setting."""
    for name, value in _named_values(settings):
        if "checkpoint" in value:
            yield name, value["checkpoint"]


def _named_values(settings: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Settings that are mappings, those in lists too."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield name, dict(value)
        elif isinstance(value, list | tuple):
            yield from ((f"{name}.{at}", dict(one)) for at, one in enumerate(value) if isinstance(one, Mapping))


def placed(settings: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """Settings with one replaced, named as `references` names it.

    Example:
        >>> placed({"others": [1, 2], "weight": 1.0}, "others.1", 5)
        {'others': [1, 5], 'weight': 1.0}
    """
    whole, dot, at = name.partition(".")
    if dot:
        value = [value if number == int(at) else one for number, one in enumerate(settings[whole])]
    return {**settings, whole: value}


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds as the command line writes them.

    Example:
        >>> parse_seeds("0,2-4")
        (0, 2, 3, 4)
    """
    seeds: list[int] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        if not (low.isdecimal() and (high.isdecimal() if dash else True)):
            raise Refusal(f"seeds must be numbers like 0, 0,1,2 or 0-4, got '{text}'")
        seeds += range(int(low), int(high if dash else low) + 1)
    if not seeds:
        raise Refusal(f"seeds must be numbers like 0, 0,1,2 or 0-4, got '{text}'")
    return tuple(dict.fromkeys(seeds))


def parse_overrides(texts: Iterable[str]) -> dict[str, Any]:
    """``ROW.OPTION=VALUE`` as the command line writes it; the value is JSON, or else a word.

    Example:
        >>> parse_overrides(["kd.temperature=2", "recipe.schedule=cosine"])
        {'kd.temperature': 2, 'recipe.schedule': 'cosine'}
    """
    overrides: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.rpartition(".")[0] or not value:
            raise Refusal(f"--set expects ROW.OPTION=VALUE, as in kd.temperature=2, got '{text}'")
        try:
            overrides[name] = json.loads(value)
        except ValueError:
            overrides[name] = value
    return overrides


def parse_duration(text: str) -> float:
    """Seconds of ``90s``, ``25m``, ``1h30m``.

    Example:
        >>> parse_duration("1h30m")
        5400.0
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text.strip())
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if not seconds or "".join(map("".join, parts)) != text.strip():
        raise Refusal(f"a time must be written like 90s, 25m or 1h30m, got '{text}'")
    return seconds
