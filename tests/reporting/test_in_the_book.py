"""What tables, figures and numbers become in a page: a notebook is executed and a small book built from it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]

CELLS = {
    "figure": """
from kdcore.reporting import figures, glue, provenance, result_table
figures.histogram({"kd": [0.1, 0.2, 0.2]}, xlabel="margin", caption="Margins with $T = 4$, {cite:t}`made2026`.",
                  alt='Bars: "low" margins # are <few> & \\\\ far | between', name="fig-margins")
""",
    "map": """
figures.method_map(figures.Node("top", "index.html", (figures.Node("leaf", "page.html#leaf"),)),
                   caption="A map.", alt="A tree with one leaf.", name="fig-map")
""",
    "table": """
records = [dict(experiment="made-up", row=row, seed=seed, status="done", hash=f"{row}{seed}", profile="quick",
                device="cpu", last={"accuracy": 0.8 + 0.1 * (row == "kd") + seed * (1 + (row == "kd")) / 100})
           for row in ("student", "kd") for seed in range(3)]
table = result_table(records, published={"kd": dict(value=0.7445, citation="made2026", protocol="last epoch")})
glue("kd-gain", 100 * table.gain("kd"))
table
""",
    "provenance": "provenance(records)",
}
CONFIG = """
title: Made up
author: Nobody
only_build_toc_files: true
execute: {execute_notebooks: "off"}
bibtex_bibfiles: [references.bib]
sphinx:
  extra_extensions: [kdcore.reporting.figures.inline]
  recursive_update: true
  config:
    nb_render_markdown_format: myst
    nb_mime_priority_overrides: [[html, text/markdown, 0]]
"""
INDEX = """# Index

The gain is {glue:text}`page.ipynb::kd-gain:.2f`; see {numref}`fig-margins`, {numref}`fig-map`, {numref}`tab-made-up`.

```{bibliography}
```
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """The built pages by name."""
    for name in ("nbclient", "ipykernel", "jupyter_book"):
        pytest.importorskip(name, reason="needs the extras `notebooks` and `book`")
    import nbformat

    folder = tmp_path_factory.mktemp("book")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    cells = [nbformat.v4.new_markdown_cell("# Page\n\nHere it is {glue:text}`kd-gain:.1f`.")]
    cells += [nbformat.v4.new_code_cell(source.strip()) for source in CELLS.values()]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "page.ipynb")
    (folder / "index.md").write_text(INDEX)
    (folder / "_config.yml").write_text(CONFIG)
    (folder / "_toc.yml").write_text("format: jb-book\nroot: index\nchapters:\n- file: page\n")
    (folder / "references.bib").write_text("@misc{made2026, author={Up, M.}, title={Made up}, year={2026}}\n")
    run(["-m", "jupyter", "execute", "--inplace", "page.ipynb"], folder, environment)
    build = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
    run(["-c", build, "build", ".", "-W", "--keep-going"], folder, environment)
    return {path.stem: path.read_text("utf-8") for path in (folder / "_build" / "html").glob("*.html")}


def run(command, folder, environment):
    done = subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


class TestInTheBook:
    def test_alternative_text_reaches_the_page(self, book):
        assert 'alt="Bars: &quot;low&quot; margins # are &lt;few&gt; &amp; \\ far | between"' in book["page"]

    def test_figures_are_numbered_and_found_from_another_page(self, book):
        assert re.search(r'<figure [^>]*id="fig-margins">\s*<img [^>]*src="data:image/svg', book["page"])
        assert re.search(r'href="page.html#fig-margins"><span class="std std-numref">Fig. 1<', book["index"])
        assert re.search(r'href="page.html#fig-map"><span class="std std-numref">Fig. 2<', book["index"])

    def test_a_caption_is_read_as_markdown(self, book):
        assert r'Margins with <span class="math notranslate nohighlight">\(T = 4\)</span>, <span' in book["page"]
        assert "3 samples." in book["page"]

    def test_links_of_the_map_are_alive(self, book):
        assert re.search(r'<svg role="group" aria-label="A tree with one leaf."', book["page"])
        assert 'href="index.html"' in book["page"] and 'href="page.html#leaf"' in book["page"]

    def test_tables_are_numbered_with_a_bold_best_and_notes_under_them(self, book):
        assert re.search(r'href="page.html#tab-made-up"><span class="std std-numref">Table 1<', book["index"])
        assert re.search(r"<strong>92.0 ± 2.0 \(3\)</strong>", book["page"])
        assert re.search(r'class="kd-note[^"]*">\s*<p>Differences are paired over seeds', book["page"])

    def test_a_published_value_is_cited(self, book):
        assert re.search(r"<th[^>]*><p>[^<]*others[^<]*<span[^>]*>\[<a [^>]*>Up26</a>\]", book["page"])
        assert "<p>74.45</p>" in book["page"]

    def test_the_same_numbers_can_be_downloaded(self, book):
        kinds = re.findall(r'<a download="tab-made-up-[0-9a-f]{8}\.(\w+)" href="data:', book["page"])
        assert kinds == ["csv", "tex", "bib", "json"]

    def test_glued_numbers_stand_in_sentences_of_both_pages(self, book):
        assert 'Here it is <span class="pasted-text">11.0</span>' in book["page"]
        assert 'The gain is <span class="pasted-text">11.00</span>' in book["index"]

    def test_provenance_stands_under_it(self, book):
        assert re.search(r'class="kd-provenance[^"]*">\s*<p>Origin: this build · Profile: quick', book["page"])
