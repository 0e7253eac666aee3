"""Small clones to publish: a few notebooks, a front page, and this project's own configuration of the book."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARAMETERS = 'profile = "quick"  # smoke, quick, short, paper\ndevice = "cpu"'


def cell(source: str, *tags: str, kind: str = "code") -> dict:
    made = {"cell_type": kind, "metadata": {"tags": list(tags)} if tags else {}, "source": source}
    return made | ({"outputs": [], "execution_count": None} if kind == "code" else {})


def notebook(*sources: str, title: str = "A chapter", parameters: str | None = PARAMETERS, budget: dict | None = None):
    """A notebook of the given code cells, or of whole cells."""
    cells = [cell(f"(a-label)=\n# {title}", kind="markdown")]
    cells += [] if parameters is None else [cell(parameters, "parameters")]
    cells += [cell(source) if isinstance(source, str) else source for source in sources]
    for number, one in enumerate(cells):
        one["id"] = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "kdcore": {"budget": budget or {"smoke": 5, "quick": 25}}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def clone(folder: Path, **notebooks: dict) -> Path:
    """A clone in a folder whose name has a space."""
    root = folder / "a clone"
    (root / "notebooks").mkdir(parents=True)
    (root / "book" / "records").mkdir(parents=True)
    for name, content in notebooks.items():
        write(root, name, content)
    for name in ("_config.yml", "requirements.lock"):
        shutil.copy(ROOT / name, root)
    for name in ("_ext", "_static"):
        shutil.copytree(ROOT / "book" / name, root / "book" / name, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "book" / "references.bib").write_text("@misc{one, author={{Somebody}}, title={Something}, year={2020}}\n")
    chapters = "".join(f"- file: executed/{name}\n" for name in sorted(notebooks))
    (root / "book" / "_toc.yml").write_text(f"format: jb-book\nroot: index\nchapters:\n{chapters}")
    (root / "book" / "index.md").write_text("# Front\n\nSee {ref}`a-label`.\n\n```{bibliography}\n:all:\n```\n")
    return root


def write(root: Path, name: str, content: dict) -> None:
    (root / "notebooks" / f"{name}.ipynb").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
