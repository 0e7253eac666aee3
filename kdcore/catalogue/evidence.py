"""The rules of coverage: which code, which test and which cell count for a row."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

from kdcore.catalogue.chapters import ALIASES, Chapter
from kdcore.catalogue.entries import Listed, read
from kdcore.catalogue.experiments import Experiments
from kdcore.catalogue.syntax import Notebook, Source, Tree, argument, calls_of, constant, does_something
from kdcore.catalogue.testing import TestClass, read_tests
from kdcore.survey import rows

SCHEMES = ("scheme", "fusion", "model", "application")
CLAIMS = ("mechanism", "outlook")


class Part(NamedTuple):
    """One thing that a row needs: where it was found, or what is missing."""

    what: str
    found: str | None
    says: str
    needed: bool = True

    def __str__(self) -> str:
        missing = "Missing" if self.needed else "Not needed, and not there"
        return f"There is {self.says}." if self.found else f"{missing}: {self.says}."


class Thing(NamedTuple):
    """A function, class or claim of a row: the file that defines it and its name there."""

    source: Source
    name: str


class Evidence:
    """What a tree holds for each row."""

    def __init__(self, tree: Tree):
        self.tree = tree
        self.experiments = Experiments(tree)

    @cached_property
    def entries(self) -> dict[str, Listed]:
        return {entry.key: entry for entry in read(self.tree)}

    @cached_property
    def shared(self) -> dict[str, list[Listed]]:
        """Entries of rows (not of variants) by what they make."""
        found: dict[str, list[Listed]] = defaultdict(list)
        for entry in self.entries.values():
            if entry.key in rows():
                found[entry.make].append(entry)
        return found

    def parts(self, key: str, kind: str, chapter: Chapter) -> list[Part]:
        if kind == "table":
            return self._table(key, chapter)
        things = self.things(key, kind, chapter)
        notebook = self.tree.notebook(chapter.notebook)
        module, test = self._module(key, kind, things), self._test(key, kind, things)
        return [module, test, self._cell(key, kind, things, notebook, chapter.notebook)]

    def things(self, key: str, kind: str, chapter: Chapter | None) -> list[Thing]:
        """Functions and classes under a key: what its entry makes, what bears its name in its chapter, or claims.

        Without a chapter, which an entry that is no row has not, what bears its name beside what it makes.
        """
        if kind in CLAIMS and chapter:
            return self._claims(key, chapter)
        snake = key.replace("-", "_")
        named = [*self._named[plain(key)], *self._named[f"{plain(key)}loss"]]
        fitting = [one for one in named if one.name in (snake, f"{snake}_loss") or plain(one.name) == plain(key)]
        home = self.entries[key].module if chapter is None and key in self.entries else ""
        here = [one for one in fitting if (chapter.holds(one.source.path) if chapter else one.source.path == home)]
        return [thing for thing in dict.fromkeys([*self._made(key), *here]) if self._stands(thing)]

    @cached_property
    def _named(self) -> dict[str, list[Thing]]:
        """Top-level functions and classes by plain name."""
        found: dict[str, list[Thing]] = defaultdict(list)
        for source in map(self.tree.source, self.tree.modules):
            for name in sorted(source.names) if source else ():
                found[plain(name)].append(Thing(source, name))
        return found

    def _made(self, key: str) -> list[Thing]:
        entry = self.entries.get(key)
        if entry is None:
            return []
        if source := self.tree.source(entry.module):
            if entry.make in source.names:
                return [Thing(source, entry.make)]
            if found := self.tree.find(source, entry.make):
                return [Thing(found[0], entry.make)]
        return []

    def _stands(self, thing: Thing) -> bool:
        node = thing.source.top.get(thing.name)
        if node is None or thing.name.startswith("_"):
            return False
        if isinstance(node, ast.ClassDef) and not does_something(node) and _sets_something(node):
            bases = (self.tree.find(thing.source, base.id) for base in node.bases if isinstance(base, ast.Name))
            return any(base and base[0].path != "kdcore/types.py" and does_something(base[1]) for base in bases)
        return does_something(node)

    def _claims(self, key: str, chapter: Chapter) -> list[Thing]:
        found = []
        for path in self.tree.modules:
            source = self.tree.source(path) if path.startswith("kdcore/claims/") or chapter.holds(path) else None
            if source and "Claim(" in source.text and f'"{key}"' in source.text:
                found += [Thing(source, name) for name in _claim_names(source, key)]
        return found

    def _module(self, key: str, kind: str, things: Sequence[Thing]) -> Part:
        found = next((thing.source.path for thing in things), None)
        names = " and ".join(dict.fromkeys(thing.name for thing in things))
        snake = key.replace("-", "_")
        if kind in CLAIMS:
            says = f"the claim {names} in {found}" if found else f'a Claim("{key}", ...) with all its parts'
        elif found:
            says = f"{names} in {found}"
        elif kind == "loss":
            says = f"a public function {snake}_loss, or a method class in an Entry of this key, with a body"
        else:
            says = "a class in an Entry of this key, with a body"
        return Part("module", found, says)

    def _test(self, key: str, kind: str, things: Sequence[Thing]) -> Part:
        about = {key, *(thing.name for thing in things if len(self.shared.get(thing.name, ())) < 2)}
        tests = [test for path in self._mirrors(things) for test in self._tests(path, key, things)]
        own = [test for test in tests if test.is_called(about) or (kind in CLAIMS and test.is_alone(_rivals(things)))]
        names = [thing.name for thing in things] or [key]
        title = next((name for name in names if name[0].isupper()), "".join(map(str.title, key.split("-"))))
        if kind in CLAIMS:
            good = [test for test in own if test.gives_every_verdict()]
            wanted = f"a test class that names {names[0]} and expects all three verdicts"
        elif kind == "loss":
            good = [test for test in own if test.asserting]
            wanted = f"a class Test{title} in the mirrored test module, with an assertion about it"
        else:
            good = [test for test in own if test.shows_routing() and test.shows_resume()]
            wanted = f"a class Test{title} in the mirrored test module: gradient routing or an identity, and resume"
        found = good[0].place if good else None
        return Part("test", found, f"the test class {found}" if found else wanted)

    def _tests(self, path: str, key: str, things: Sequence[Thing]) -> list[TestClass]:
        """The test classes of a file that names these things."""
        source = self.tree.source(path)
        names = {thing.name for thing in things}
        if source is None or not any(name in source.text for name in (*names, key)):
            return []
        folders = path.split("/")[:-1]
        homes = ("/".join(folders[: end + 1]) for end in range(len(folders)))
        shared = [found for home in homes if (found := self.tree.source(f"{home}/conftest.py"))]
        return read_tests(source, names, key, shared)

    def _mirrors(self, things: Sequence[Thing]) -> list[str]:
        """Test modules that mirror the files of these things, those that a module's tests may be split into too."""
        found: dict[str, None] = {}
        for path in dict.fromkeys(thing.source.path for thing in things):
            home, _, stem = path.removesuffix(".py").removesuffix("/__init__").rpartition("/")
            home = home.replace("kdcore", "tests", 1)
            above, _, package = home.rpartition("/")
            one = re.compile(
                rf"{re.escape(home)}/test_{stem}(_\w+)?\.py|{re.escape(home)}/{stem}/test_\w+\.py"
                rf"|{re.escape(above)}/test_{package}\.py"
            )
            found |= dict.fromkeys(test for test in self.tree.tests if one.fullmatch(test))
        return list(found)

    def _cell(self, key: str, kind: str, things: Sequence[Thing], notebook: Notebook | None, path: str) -> Part:
        wanted = {"loss": "calls it"}.get(kind, "shows it" if kind in CLAIMS else "trains it")
        shown = notebook is not None and bool(things) and self._shown(key, kind, things, notebook)
        says = f"a code cell of {path} that {wanted}"
        return Part("notebook", path if shown else None, says)

    def _shown(self, key: str, kind: str, things: Sequence[Thing], notebook: Notebook) -> bool:
        names = {thing.name for thing in things}
        if kind in CLAIMS:
            return any(names & set(full) for full in notebook.names) or key in notebook.asked("claim")
        if key in notebook.asked("load"):
            return True
        if any(self._calls(key, set(full) & names, call) for full, call in notebook.calls):
            return True
        return kind in SCHEMES and any(self.experiments.runs(name, key) for name in notebook.asked("run"))

    def _calls(self, key: str, names: set[str], call: ast.Call) -> bool:
        """Whether a call of one of these names is a call for this row, where several rows share a class."""
        for name in names:
            others = [entry for entry in self.shared.get(name, ()) if entry.key != key]
            if not others:
                return True
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            mine = {option: repr(value) for option, value in self.entries[key].settings.items()}
            theirs = {option for entry in others for option in entry.settings}
            if mine.items() <= given.items() and (mine or not theirs & given.keys()):
                return True
        return False

    def _table(self, key: str, chapter: Chapter) -> list[Part]:
        entry = self.entries.get(key)
        name = self.experiments.key(entry) if entry else ALIASES.get(key, key)
        found, says = self.experiments.resolve(name, self.entries)
        notebook = self.tree.notebook(chapter.notebook)
        asked = notebook is not None and bool({name, key} & (notebook.asked("run") | notebook.asked("get")))
        cell = f"a code cell of {chapter.notebook} that runs it"
        return [Part("module", found, says), Part("notebook", chapter.notebook if asked else None, cell, needed=False)]


def plain(name: str) -> str:
    """A name without case and separators, so that ``logit-std``, ``logit_std`` and ``LogitStd`` are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _rivals(things: Sequence[Thing]) -> set[str]:
    """The other claims of the modules that hold these."""
    sources = {thing.source for thing in things}
    claims = {name for source in sources for name, node in source.top.items() if calls_of([node], "Claim")}
    return claims - {thing.name for thing in things}


def _sets_something(node: ast.ClassDef) -> bool:
    return any(isinstance(part, ast.Assign | ast.AnnAssign) and part.value is not None for part in node.body)


def _claim_names(source: Source, key: str) -> Iterable[str]:
    for name, node in source.top.items():
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            whole = [call for call in calls_of([node.value], "Claim") if len(call.args) + len(call.keywords) > 5]
            if any(constant(argument(call, 0, "key")) == key for call in whole):
                yield name
