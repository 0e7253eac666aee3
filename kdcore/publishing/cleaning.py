"""What an executed notebook says, without what differs between two executions that say the same."""

from __future__ import annotations

import ast
import copy
import re
from typing import Any

from kdcore.publishing.project import tags_of, text_of

WIDGETS = ("application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json")
ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")
STYLED = re.compile(r"\bT_[0-9a-f]{5}(?=[_\"'])")
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def clean(notebook: dict[str, Any], parameters: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The notebook to publish, and what it wrote on stderr.

    Two executions of the same key are equal to the byte. The cell that papermill injects goes, and the values it
    held stand in the parameters cell, so that a page shows what was run.
    """
    result = copy.deepcopy(notebook)
    kept = {name: result["metadata"][name] for name in ("kdcore", "language_info") if name in result["metadata"]}
    result["metadata"] = {"kernelspec": KERNEL, **kept}
    result["cells"] = [cell for cell in result["cells"] if "injected-parameters" not in tags_of(cell)]
    errors: list[str] = []
    names: dict[str, str] = {}
    count = 0
    for cell in result["cells"]:
        for name in ("papermill", "execution"):
            cell["metadata"].pop(name, None)
        if not tags_of(cell):
            cell["metadata"].pop("tags", None)
        if cell["cell_type"] == "code":
            count += 1
            cell["execution_count"] = count
            cell["outputs"] = steady(clean_outputs(cell["outputs"], count, errors), names)
            if "parameters" in tags_of(cell):
                cell["source"] = with_values(text_of(cell), parameters)
    return result, "".join(errors)


def clean_outputs(outputs: list[dict[str, Any]], count: int, errors: list[str]) -> list[dict[str, Any]]:
    kept = []
    for output in outputs:
        if output["output_type"] == "stream" and output["name"] == "stderr":
            errors.append(joined(output["text"]))
        elif not any(kind in output.get("data", {}) for kind in WIDGETS):
            if "execution_count" in output:
                output["execution_count"] = count
            kept.append(output)
    return kept


def steady(value: Any, names: dict[str, str]) -> Any:
    """Without memory addresses, and with the random names that pandas gives styled tables replaced by a count."""
    if isinstance(value, str):
        numbered = STYLED.sub(lambda found: names.setdefault(found[0], f"T_{len(names):05d}"), value)
        return ADDRESS.sub("at 0x…", numbered)
    if isinstance(value, list):
        return [steady(item, names) for item in value]
    return {name: steady(item, names) for name, item in value.items()} if isinstance(value, dict) else value


def with_values(source: str, values: dict[str, Any]) -> str:
    """The parameters cell with the values that were used; comments and the other lines stay."""
    lines = source.splitlines(keepends=True)
    for node in reversed(ast.parse(source).body):
        if isinstance(node, ast.Assign) and node.targets[0].id in values:
            value = node.value
            head = lines[value.lineno - 1].encode()[: value.col_offset].decode()
            tail = lines[value.end_lineno - 1].encode()[value.end_col_offset :].decode()
            lines[value.lineno - 1 : value.end_lineno] = [f"{head}{values[node.targets[0].id]!r}{tail}"]
    return "".join(lines)


def joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)
