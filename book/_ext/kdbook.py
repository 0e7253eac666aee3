"""What this book needs of Sphinx beside Jupyter Book: reading without a network, Chinese terms, provenance.

Loaded through `_config.yml`; needs only what the book's own tools bring.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst.states import Inliner
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment

from kdcore.publishing.addresses import base, repository
from kdcore.publishing.pages.places import address_of, places_in

PROVIDERS = ("github", "gitlab", "bitbucket")
MATHJAX = ("tex-chtml.js", "output/chtml/fonts", "input/tex/extensions", "a11y/assistive-mml.js")
THEBE = ("thebe", "THEBE")
TREE = "sbt-sidebar-nav.html"
WITH_SOURCE = ("kdcore.losses", "kdcore.schemes")
ROLE = re.compile(r"\{((?:cite|py):\w+|ref|eq|doc|math)\}`")
PLACE = re.compile(r"^( *)(Survey|Paper): ")
ORIGINS = {"published by others": "kd-others", "committed record": "kd-committed", "this build": "kd-build"}
ORIGIN = re.compile(rf"\b(?:{'|'.join(ORIGINS)})\b")
MADE = "how-this-page-was-made"
ERRATUM = re.compile(r"\b[ZSHNX]-\d\d\b(?![`>])")


def chinese(name: str, rawtext: str, text: str, line: int, inliner: Inliner, options=None, content=None):
    """``{zh}`知识蒸馏` `` is set in the reader's Chinese font and spoken as Chinese."""
    return [nodes.inline(rawtext, text, classes=["zh", "language-zh"])], []


# ---------------------------------------------------------------- addresses


def configure(app: Sphinx, config: Config) -> None:
    """No button without an address behind it; no thebe, which is fetched from elsewhere."""
    for listeners in app.events.listeners.values():
        listeners[:] = [one for one in listeners if not one.handler.__module__.startswith("sphinx_thebe")]
    address = repository(Path(app.srcdir))
    options = config.html_theme_options
    options.pop("launch_buttons", None)
    options["repository_url"] = ""
    provider = next((name for name in PROVIDERS if f"//{name}." in address), "")
    if provider:
        options.update(
            repository_url=address, repository_provider=provider, path_to_docs="book", use_repository_button=True,
            use_edit_page_button=True, use_issues_button=provider != "bitbucket",
        )  # fmt: skip
    config.html_baseurl = base(address)


# ---------------------------------------------------------------- docstrings


def docstring(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Our docstrings name places, papers and errata in short; here these become paragraphs and links."""
    lines[:] = [part for line in lines for part in linked(line).split("\n")]


def linked(line: str) -> str:
    """One line of a docstring with its roles, places and errata as Sphinx reads them.

    >>> linked("Paper: {cite:t}`zhao2022dkd` eq. 7 (errata Z-01)")
    '\\n**Paper:** :cite:t:`zhao2022dkd` eq. 7 (errata :ref:`Z-01 <erratum-z-01>`)'
    """
    line = ROLE.sub(r":\1:`", line)
    line = ERRATUM.sub(lambda found: f":ref:`{found[0]} <erratum-{found[0].lower()}>`", line)
    return PLACE.sub(r"\n\1**\2:** ", line)


# ---------------------------------------------------------------- time: half of a build, where these are not


class Words(set):
    """What Sphinx keeps in a list and asks for every word of the book whether it is in it."""

    extend = set.update


def source_of(app: Sphinx, module: str) -> tuple[str, dict] | None:
    """Only modules whose code a reader compares with a formula get a page with their source."""
    return None if module.startswith(WITH_SOURCE) else ("", {})


def forget_empty(app: Sphinx, environment: BuildEnvironment) -> None:
    modules = getattr(environment, "_viewcode_modules", {})
    environment._viewcode_modules = {name: entry for name, entry in modules.items() if entry and entry[1]}


# ---------------------------------------------------------------- pages


def provenance(app: Sphinx, doctree: nodes.document) -> None:
    """The last lines of a notebook's page: from which source, with which values and versions; its first tells of it."""
    path = Path(app.env.doc2path(app.env.docname))
    if path.suffix != ".ipynb":
        return
    made = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("kdcore", {}).get("made")
    if not made:
        return
    values, versions = (listed(made["parameters"], "profile"), listed(made["versions"], "python"))
    told = [("Source", made["source"]), ("Parameters", values), ("Versions", versions)]
    told += [(name.capitalize(), made[name]) for name in ("commit", "records") if made.get(name)]
    fields = nodes.field_list()
    for name, text in [*told, ("Again", nodes.literal(text=made["command"]))]:
        body = nodes.paragraph("", "", text if isinstance(text, nodes.Node) else nodes.Text(text))
        fields += nodes.field("", nodes.field_name(text=name), nodes.field_body("", body))
    title = nodes.rubric(text="How this page was made")
    doctree += nodes.container("", title, fields, classes=["kd-made"], ids=[MADE])
    for first in [*doctree.findall(nodes.section)][:1]:
        first.insert(1, at_a_glance(made["parameters"]))


def at_a_glance(values: dict[str, str]) -> nodes.container:
    """What a reader has to know of a page's numbers before the first of them."""
    line = nodes.paragraph(
        "", f"Profile {values.get('profile')}, device {values.get('device')}. Where no caption or note"
    )
    line += nodes.Text(" says otherwise (committed record, published by others), a number is of this build. ")
    line += nodes.reference("", "How this page was made", refid=MADE, internal=True)
    return nodes.container("", line, classes=["kd-provenance"])


def linked_back(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """``zhao2026 eq. 10`` in running text leads to the line of that equation on the survey's page."""
    for home in [*doctree.findall(lambda node: isinstance(node, nodes.TextElement) and not apart(node))]:
        texts = [*home.findall(nodes.Text)]
        said = "".join(text if not inside(text) else blank(text) for text in texts)
        found, start = [*places_in(said)], 0
        for text in texts if found else ():
            own = [(one - start, end - start, place) for one, end, place in found if start <= one < start + len(text)]
            start += len(text)
            replace(app, docname, text, own)


def replace(app: Sphinx, docname: str, text: nodes.Text, places: list[tuple[int, int, tuple]]) -> None:
    """A text with links in place of the places that it names."""
    parts, at = [], 0
    for start, end, place in places:
        page, anchor = address_of(*place)
        if page in app.env.all_docs and page != docname:
            link = nodes.reference("", text[start:end], internal=True)
            link["refuri"] = f"{app.builder.get_relative_uri(docname, page)}#{anchor}"
            parts, at = [*parts, nodes.Text(text[at:start]), link], end
    if parts:
        text.parent.replace(text, [*parts, nodes.Text(text[at:])])


def apart(node: nodes.TextElement) -> bool:
    """A part of a longer text, or one that is no running text."""
    kinds = (nodes.title, nodes.literal_block, nodes.math_block, nodes.raw, nodes.reference)
    return isinstance(node, (*kinds, nodes.Inline)) or isinstance(node.parent, nodes.TextElement)


def blank(text: nodes.Text) -> str:
    """As long as a text that is a link, code or mathematics; the link to a source ends what a survey says."""
    link = isinstance(text.parent, nodes.reference) and not re.match(ERRATUM, text)
    return ("[" if link else " ").ljust(len(text), " ")


def marked(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Where numbers come from is seen at a glance: in captions, heads of tables and the lines under them."""
    for home in doctree.findall(lambda node: isinstance(node, nodes.caption | nodes.title | nodes.thead) or said(node)):
        if isinstance(home, nodes.title) and not isinstance(home.parent, nodes.table):
            continue
        for text in [*home.findall(nodes.Text)]:
            parts, at = [], 0
            for found in ORIGIN.finditer(text):
                mark = nodes.inline("", found[0], classes=["kd-origin", ORIGINS[found[0]]])
                parts, at = [*parts, nodes.Text(text[at : found.start()]), mark], found.end()
            if parts:
                text.parent.replace(text, [*parts, nodes.Text(text[at:])])


def said(node: nodes.Node) -> bool:
    return isinstance(node, nodes.container) and "kd-provenance" in node["classes"]


def inside(text: nodes.Text) -> bool:
    """Whether a text is a link, a title, code or mathematics already."""
    kinds = (nodes.reference, nodes.title, nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.raw)
    at = text.parent
    while at is not None and not isinstance(at, kinds):
        at = at.parent
    return at is not None


def listed(values: dict[str, str], first: str) -> str:
    """Names and values in one line, the one that a reader looks for first."""
    return ", ".join(f"{name} {value}" for name, value in sorted(values.items(), key=lambda item: item[0] != first))


def without_tree(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    """A listing leads back to its page and needs no tree of all pages: a seventh of Sphinx's time."""
    if pagename.startswith("_modules/"):
        context["sidebars"] = [part for part in context["sidebars"] if part != TREE]


def tidy(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    """Drops the remains of thebe and scripts that stand twice; points edit buttons at the sources."""
    seen: set[str] = set()

    def wanted(file: object) -> bool:
        told = f"{getattr(file, 'filename', file)} {getattr(file, 'attributes', {})}"
        new = told not in seen and not any(word in told for word in THEBE)
        seen.add(told)
        return new

    for kind in ("script_files", "css_files"):
        context[kind] = [file for file in context.get(kind, []) if wanted(file)]
    context["header_buttons"] = [*map(at_source, filter(editable, context.get("header_buttons", [])))]


def editable(button: dict) -> bool:
    """A generated page is not edited."""
    return "/book/generated/" not in button.get("url", "")


def at_source(button: dict) -> dict:
    """An executed notebook is edited where it was written."""
    inner = [at_source(one) for one in filter(editable, button.get("buttons", ()))]
    url = button.get("url", "").replace("/book/executed/", "/notebooks/")
    return {**button, **({"buttons": inner} if inner else {}), **({"url": url} if url else {})}


def copy_mathjax(app: Sphinx, problem: Exception | None) -> None:
    """The part of MathJax that the pages load, beside them."""
    if problem or app.builder.format != "html":
        return
    package = importlib.util.find_spec("sphinx-mathjax-offline").submodule_search_locations[0]
    source, target = Path(package, "static", "mathjax"), Path(app.outdir, "_static", "mathjax")
    for name in MATHJAX:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, dirs_exist_ok=True)
        else:
            shutil.copy2(source / name, target / name)


def setup(app: Sphinx) -> dict[str, bool]:
    for name in ("sphinx.ext.autodoc", "sphinx.ext.viewcode", "kdcore.reporting.figures.inline"):
        app.setup_extension(name)
    from sphinx.search.zh import SearchChinese  # late, since it brings jieba with its dictionary

    SearchChinese.latin_terms = Words()
    app.add_role("zh", chinese)
    app.connect("config-inited", configure, priority=900)
    app.connect("autodoc-process-docstring", docstring)
    app.connect("viewcode-find-source", source_of)
    app.connect("env-check-consistency", forget_empty)
    app.connect("doctree-read", provenance)
    app.connect("doctree-resolved", linked_back)
    app.connect("doctree-resolved", marked)
    app.connect("html-page-context", without_tree, priority=100)  # before the theme, which draws all parts
    app.connect("html-page-context", tidy, priority=900)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
