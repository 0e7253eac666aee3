"""A small book of two notebooks, one of which raises, built once with this project's own configuration."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
AXE = "4.14.1"
sys.path[:0] = [str(HERE), str(HERE.parent / "publishing")]

TOLD = r"""(told)=
## Softened answers {zh}`知识蒸馏的软化标签`

A wide formula, $T^2$, and {cite:p}`one`:
```{math}
:label: soft
p_i = \frac{e^{z_i / T}}{\sum_j e^{z_j / T}} + \underbrace{a + b + c + d + e + f + g + h + i + j + k + l + m + n}_{x}
```
Equation {eq}`soft` and {numref}`tab-small` stand here."""
TABLE = """from IPython.display import display
row = "| " + " | ".join(f"a long column {number}" for number in range(12)) + " |"
rule = "|" + "--:|" * 12
text = f"~~~{{table}} A table that is too wide\\n:name: tab-small\\n:class: kd-table\\n\\n{row}\\n{rule}\\n{row}\\n~~~"
display({"text/markdown": text, "text/plain": "a table"}, raw=True)"""
FIGURE = """line = "<path d='M0 0H900' stroke='black'/>"
svg = f"<svg xmlns='http://www.w3.org/2000/svg' width='900' height='60'>{line}</svg>"
display({"image/svg+xml": svg, "text/plain": "a figure"}, raw=True)"""


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """The clone, the status of `make_book` on it, and what it said on stdout."""
    import contextlib
    import io

    from clones import cell, clone, notebook

    from kdcore.publishing import make_book

    figure = cell(FIGURE, "hide-input")
    figure["metadata"]["mystnb"] = {"image": {"alt": "A line from left to right"}}
    good = notebook(cell(TOLD, kind="markdown"), TABLE, figure, title="A chapter {zh}`一章`")
    bad = notebook("1 / 0", title="Another chapter")
    bad["cells"][0]["source"] = "# Another chapter"
    root = clone(tmp_path_factory.mktemp("book"), **{"01_good": good, "02_raises": bad})
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        status = make_book("smoke", root=root)
    yield root, status, told.getvalue()
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def page():
    """A tab of a headless Chromium."""
    import browser

    if browser.chromium() is None:
        pytest.skip("no Chromium on this machine (KDCORE_CHROMIUM names one)")
    pytest.importorskip("websocket", reason="websocket-client, which Jupyter brings, is not installed")
    with browser.browser() as tab:
        yield tab


@pytest.fixture(scope="session")
def axe():
    """axe-core, fetched once where npm and a network are at hand."""
    folder = ROOT / "_build" / "axe"
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    if not script.is_file():
        if shutil.which("npm") is None:
            pytest.skip("axe-core needs npm, which is not here")
        command = ["npm", "install", "--silent", "--no-save", "--prefix", str(folder), f"axe-core@{AXE}"]
        folder.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(command, check=True, timeout=120, capture_output=True, env=os.environ | {"CI": "1"})
        except (subprocess.SubprocessError, OSError):
            pytest.skip("axe-core could not be fetched")
    return script.read_text()
