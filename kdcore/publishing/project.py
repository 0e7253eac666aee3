"""Where things lie in a clone, and what a notebook's source says before anything is run."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kdcore.entry import Refusal
from kdcore.experiments import store
from kdcore.experiments.provenance import versions
from kdcore.experiments.types import unknown

PACKAGE = Path(__file__).resolve().parents[1]


class Mistake(ValueError):
    """Something in a notebook or in the book is not as it has to be."""


@dataclass(frozen=True)
class Project:
    """The folders of one clone."""

    root: Path

    @classmethod
    def here(cls) -> Project:
        """The clone this package stands in, else the working folder."""
        for root in (PACKAGE.parent, Path.cwd()):
            if (root / "_config.yml").is_file() and (root / "book").is_dir():
                return cls(root)
        raise Refusal(
            "the book is built from a clone of the project, and neither this package nor the working folder is one"
        )

    @property
    def sources(self) -> Path:
        return self.root / "notebooks"

    @property
    def book(self) -> Path:
        return self.root / "book"

    @property
    def executed(self) -> Path:
        return self.book / "executed"

    @property
    def generated(self) -> Path:
        return self.book / "generated"

    @property
    def build(self) -> Path:
        return self.root / "_build"

    @property
    def work(self) -> Path:
        return self.build / "notebooks"

    @property
    def html(self) -> Path:
        return self.build / "html"

    def shown(self, path: Path) -> str:
        """A path as a reader of the terminal wants it: relative to the clone."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)

    def notebooks(self, wanted: str = "") -> list[Source]:
        """The named notebooks in order, or all."""
        names = sorted(path.stem for path in self.sources.glob("*.ipynb"))
        asked = [Path(name).name.removesuffix(".ipynb") for name in wanted.replace(",", " ").split()]
        if stranger := next((name for name in asked if name not in names), None):
            raise unknown("notebook", stranger, names)
        return [Source(self.sources / f"{name}.ipynb") for name in names if not asked or name in asked]


@dataclass(frozen=True)
class Source:
    """A notebook as it is written: cells, parameters, budget."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def content(self) -> dict[str, Any]:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            [(cell["cell_type"], cell["source"], cell["metadata"]) for cell in found["cells"]]
        except (ValueError, KeyError, TypeError) as problem:
            raise Mistake(f"{self.path.name} is no notebook: {type(problem).__name__}: {problem}") from None
        return found

    @property
    def cells(self) -> list[dict[str, Any]]:
        return self.content["cells"]

    @property
    def title(self) -> str:
        """The first heading, or the name."""
        try:
            prose = [text_of(cell) for cell in self.cells if cell["cell_type"] == "markdown"]
        except Mistake:
            return self.name
        return next((line[2:].strip() for text in prose for line in text.splitlines() if line[:2] == "# "), self.name)

    def budget(self, profile: str) -> float | None:
        """Core-seconds of work that the notebook may take, imports aside."""
        return self._metadata.get("budget", {}).get(profile)

    def expected(self, profile: str) -> float:
        """Core-seconds it took where it was last measured, or else may take; nothing but the order hangs on them."""
        return self._metadata.get("measured", {}).get(profile) or self.budget(profile) or 0.0

    @property
    def early(self) -> bool:
        """Whether it begins before longer ones: they want runs of it, or it shares none with those that begin first."""
        return self._metadata.get("early", False)

    @property
    def _metadata(self) -> dict[str, Any]:
        return self.content.get("metadata", {}).get("kdcore", {})

    def parameters(self) -> list[str]:
        """The names that the cell tagged ``parameters`` sets, in order; `profile` first, then `device`."""
        tagged = [cell for cell in self.cells if "parameters" in tags_of(cell) and cell["cell_type"] == "code"]
        if len(tagged) != 1:
            raise Mistake(f"{self.path.name} needs one code cell tagged 'parameters', it has {len(tagged)}")
        try:
            body = ast.parse(text_of(tagged[0])).body
        except SyntaxError as problem:
            raise Mistake(f"the parameters of {self.path.name} are no Python: {problem.msg}") from None
        targets = [target for line in body if isinstance(line, ast.Assign) for target in line.targets]
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        if names[:2] != ["profile", "device"]:
            raise Mistake(f"the parameters of {self.path.name} must begin with profile, device, they are {names}")
        return names

    def key(self, parameters: dict[str, Any], surroundings: str) -> str:
        """Changes whenever another execution could show something else."""
        cells = [[cell["cell_type"], text_of(cell), sorted(tags_of(cell))] for cell in self.cells]
        return sha256(json.dumps([cells, parameters, surroundings], sort_keys=True))


def text_of(cell: dict[str, Any]) -> str:
    return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])


def tags_of(cell: dict[str, Any]) -> list[str]:
    return cell["metadata"].get("tags", [])


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def digest(files: Iterable[Path], base: Path) -> str:
    """One hash over names and contents."""
    total = hashlib.sha256()
    for path in sorted(files):
        content = path.read_bytes()
        total.update(f"{path.relative_to(base).as_posix()} {len(content)}\n".encode() + content)
    return total.hexdigest()


def files_in(folder: Path, *patterns: str) -> list[Path]:
    return [path for pattern in patterns for path in folder.rglob(pattern) if "__pycache__" not in path.parts]


def surroundings(project: Project) -> str:
    """All that a notebook's numbers rest on besides its cells: our code and data, published records, versions."""
    lock = project.root / "requirements.lock"
    records = files_in(project.book / "records", "*.jsonl")
    return sha256(
        json.dumps(
            [
                digest(files_in(PACKAGE, "*.py", "*.yaml"), PACKAGE),
                digest(records, project.book),
                sha256(lock.read_text()) if lock.is_file() else "",
                versions(),
            ]
        )
    )


def write_whole(path: Path, text: str) -> None:
    """Replace a file in one step; the same content leaves it untouched."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        store.write_whole(path, text)
