"""Builds the HTML book: always from nothing, always with warnings as errors, and only when something changed.

An incremental build neither repeats the warnings of pages that it skips nor notices glued numbers, styles and
scripts that changed, so there is none. The new one replaces the old one when it is whole.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from kdcore.publishing.checking import faults
from kdcore.publishing.project import PACKAGE, Project, digest, files_in, sha256, write_whole

# Sphinx keeps every page as a tree of small objects, and looking through all of them for rubbish took a third of it.
COMMAND = "import gc; gc.set_threshold(100_000, 50, 1000); from jupyter_book.cli.main import main; main()"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
WARNING = ("WARNING:", "ERROR:", "CRITICAL:", "Exception", "Extension error")


@dataclass(frozen=True)
class Built:
    """How the build went; `warnings` are Sphinx's own lines."""

    good: bool
    fresh: bool
    page: Path
    log: Path
    warnings: list[str] = field(default_factory=list)

    def lines(self, project: Project) -> list[str]:
        """What to say at the end."""
        told = [line.replace(f"{project.root}{os.sep}", "") for line in self.warnings[:20]]
        if not self.page.is_file():
            return [*told, f"the book could not be built; what was said: {project.shown(self.log)}"]
        if self.good:
            return [f"book: {self.page}" + ("" if self.fresh else " (up to date)")]
        return [*told, f"the book has {len(self.warnings)} warnings, which count as errors: {project.shown(self.log)}",
                f"book, with these faults: {self.page}"]  # fmt: skip


def build(project: Project, strict: bool = True) -> Built:
    """Build what `book/` holds now. Where a notebook has no result (`strict` off), links into it may dangle."""
    page, log = project.html / "index.html", project.build / "book.log"
    stamp = project.build / "book.sha256"
    now = f"{state(project)} {strict}"
    if page.is_file() and stamp.is_file() and stamp.read_text() == now:
        return Built(True, False, page, log)
    stamp.unlink(missing_ok=True)
    project.build.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=project.build, prefix="fresh-") as folder:
        status, output = sphinx(project, Path(folder), strict)
        write_whole(log, output)
        made = Path(folder, "_build", "html")
        found = faults(made)
        if (made / "index.html").is_file():
            replace(project.html, made)
        elif status:
            shutil.rmtree(project.html, ignore_errors=True)
    warnings = [line for line in output.splitlines() if any(mark in line for mark in WARNING)] + found
    good = status == 0 and page.is_file() and not (strict and found)
    if good:
        write_whole(stamp, now)
    return Built(good, True, page, log, warnings)


def sphinx(project: Project, folder: Path, strict: bool) -> tuple[int, str]:
    """Jupyter Book in a process of its own, since Sphinx patches what it touches; its status and all it said."""
    command = [sys.executable, "-c", COMMAND, "build", str(project.book)]
    command += ["--config", str(project.root / "_config.yml"), "--path-output", str(folder), "--quiet"]
    command += ["-W", "--keep-going"] if strict else []
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    result = subprocess.run(
        command, cwd=project.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return result.returncode, COLOUR.sub("", result.stdout)


def replace(old: Path, new: Path) -> None:
    """Put a finished folder in the place of another; a reader meets one of the two."""
    aside = old.with_name(f".{old.name}-old")
    shutil.rmtree(aside, ignore_errors=True)
    if old.exists():
        old.rename(aside)
    new.rename(old)
    shutil.rmtree(aside, ignore_errors=True)


def state(project: Project) -> str:
    """Changes whenever another build could give another book."""
    texts = [path for path in files_in(project.book, "*") if path.is_file()]
    around = [path for path in (project.root / "_config.yml", project.root / "requirements.lock") if path.is_file()]
    code = files_in(PACKAGE, "*.py", "*.yaml")
    address = [os.environ.get(name, "") for name in ("KDCORE_BOOK_URL", "GITHUB_REPOSITORY", "GITHUB_SERVER_URL")]
    return sha256(repr([digest([*texts, *around], project.root), digest(code, PACKAGE), address]))
