"""What an experiment is: rows, profiles and seeds as plain data, so that all of them can be listed without torch."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from kdcore.entry import Refusal
from kdcore.recipe import Recipe

if TYPE_CHECKING:
    from kdcore.engine import Run

Plain = Mapping[str, Any]  # numbers, words, lists and mappings: what JSON can hold
TRAINING = "kdcore.experiments.training:image"
PROFILES = ("smoke", "quick", "short", "paper")
SCALES = (1.0, 0.1, 0.01, 0.001)  # of the published weight: the same grid for every row
SEARCH_SEEDS = (100, 101)  # never reported


def unknown(what: str, name: object, names: Iterable[str]) -> Refusal:
    """The refusal of a name: what came, what was expected, the nearest valid one."""
    names = list(names)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.4)
    expected = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    hint = f"; the nearest is '{near[0]}'" if near else ""
    return Refusal(f"unknown {what} '{name}', expected one of {expected}{hint}")


def resolve(place: str) -> Any:
    """What ``module:name`` stands for, imported now."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


@dataclass(frozen=True)
class Row:
    """Anything that yields numbers: a training, the limit of a gradient, a search, an accounting of messages.

    Attributes:
        key: its name in the table.
        measure: ``module:function``, imported when it runs, called as
            ``measure(seed=, profile=, recipe=, device=, **settings)``; returns numbers by name, or a `Training`.
        settings: plain data for the measure. A mapping with ``experiment`` and ``row`` stands for the network that
            this other row trained, which is trained first.
        source: where the row and its settings come from, in the surveys and in the literature.
        published: by metric, what others printed: ``{"value":, "citation":, "protocol":}``, or several of them.
        under: settings that replace these under one profile (a weight that the search chose).
        search: published values of the settings that ``--search`` scales, the first method's or the scheme's.
        keep: whether the trained network is kept, as that of a teacher is.
        half: whether it is kept in half precision, so that all that learn from it see the same bits at half the size.
        revision: raised in the commit that changes the measure's numbers.
    """

    key: str
    measure: str = TRAINING
    settings: Plain = field(default_factory=dict)
    source: str = ""
    published: Plain = field(default_factory=dict)
    under: Mapping[str, Plain] = field(default_factory=dict)
    search: Mapping[str, float] = field(default_factory=dict)
    keep: bool = False
    half: bool = False
    revision: int = 1

    @property
    def method(self) -> str:
        """The catalogue's key of what the row tries: its first method, else its scheme, else its own name."""
        methods = self.settings.get("methods") or []
        return methods[0][0] if methods else self.settings.get("scheme", self.key)


@dataclass(frozen=True)
class Profile:
    """One size of an experiment.

    Attributes:
        recipe: arguments of `kdcore.recipe.Recipe`.
        settings: what every row starts from (data, student, teacher); a row's own settings come on top.
        seeds: in place of the experiment's.
        cost: what it takes, in words.
    """

    recipe: Plain = field(default_factory=dict)
    settings: Plain = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    cost: str = ""


@dataclass(frozen=True)
class Experiment:
    """Rows times seeds, in up to four sizes. Runs what the store lacks."""

    key: str
    title: str
    rows: tuple[Row, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    profiles: Mapping[str, Profile] = field(default_factory=lambda: dict.fromkeys(PROFILES, Profile()))
    chapter: str = ""

    @property
    def cost(self) -> dict[str, str]:
        return {name: profile.cost for name, profile in self.profiles.items()}

    def profile(self, name: str) -> Profile:
        """One size of this experiment, or a refusal that says which it has."""
        if name in self.profiles:
            return self.profiles[name]
        if name in PROFILES:
            raise Refusal(f"experiment {self.key} has no profile '{name}', it has {', '.join(self.profiles)}")
        raise unknown("profile", name, self.profiles)

    def row(self, key: str) -> Row:
        for row in self.rows:
            if row.key == key:
                return row
        raise unknown(f"row of {self.key}", key, [row.key for row in self.rows])

    def seeds_of(self, profile: str) -> tuple[int, ...]:
        return self.profile(profile).seeds or self.seeds

    def settings(self, row: Row, profile: str) -> dict[str, Any]:
        """A row's settings in full: the profile's, over them the row's, over them the row's under this profile."""
        return {**self.profile(profile).settings, **row.settings, **row.under.get(profile, {})}

    def recipe(self, profile: str, changes: Plain | None = None) -> Recipe:
        return make_recipe({**self.profile(profile).recipe, **(changes or {})})

    def searching(self) -> Experiment:
        """The search for weights: each row that names some, at every scale, judged on the validation split."""
        rows = tuple(_scaled(row, scale) for row in self.rows if row.search for scale in SCALES)
        if not rows:
            raise Refusal(f"experiment {self.key} has no row with a weight to search")
        profiles = {name: replace(profile, seeds=()) for name, profile in self.profiles.items()}
        title = f"{self.title}: weights tried on the validation split"
        return replace(self, key=f"{self.key}{SEARCH}", title=title, rows=rows, seeds=SEARCH_SEEDS, profiles=profiles)


SEARCH = "-search"


def _scaled(row: Row, scale: float) -> Row:
    weights = {name: published * scale for name, published in row.search.items()}
    if methods := row.settings.get("methods"):
        (key, settings), *others = methods
        weights = {"methods": [[key, {**settings, **weights}], *others]}
    searched = {**row.settings, **weights, "judge": "validation"}
    return replace(row, key=f"{row.key}-x{scale:g}", settings=searched, under={}, search={}, published={}, keep=False)


def make_recipe(values: Plain) -> Recipe:
    """A recipe from plain values; a wrong name or value is refused in one sentence."""
    names = [known.name for known in fields(Recipe)]
    if stranger := next((name for name in values if name not in names), None):
        raise unknown("recipe option", stranger, names)
    try:
        return Recipe(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    except (TypeError, ValueError) as error:
        raise Refusal(f"recipe: {error}") from error


@dataclass
class Training:
    """A measure that trains: the runner takes `run` through its stages in company and then asks `finish`."""

    run: Run
    finish: Callable[[Run], dict[str, Any]]
