"""What this book needs of Sphinx beside Jupyter Book: reading without a network, Chinese terms, provenance.

Loaded through `_config.yml`; needs only what the book's own tools bring.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from docutils import nodes
from docutils.parsers.rst.states import Inliner
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment

PROVIDERS = ("github", "gitlab", "bitbucket")
MATHJAX = ("tex-chtml.js", "output/chtml/fonts", "input/tex/extensions", "a11y/assistive-mml.js")
THEBE = ("thebe", "THEBE")
WITH_SOURCE = ("kdcore.losses", "kdcore.schemes")
ROLE = re.compile(r"\{((?:cite|py):\w+|ref|eq|doc|math)\}`")
PLACE = re.compile(r"^( *)(Survey|Paper): ")
ERRATUM = re.compile(r"\b[ZSHNX]-\d\d\b(?![`>])")


def chinese(name: str, rawtext: str, text: str, line: int, inliner: Inliner, options=None, content=None):
    """``{zh}`知识蒸馏` `` is set in the reader's Chinese font and spoken as Chinese."""
    return [nodes.inline(rawtext, text, classes=["zh", "language-zh"])], []


# ---------------------------------------------------------------- addresses


def public(address: str) -> str:
    """A repository's address as a browser wants it; empty where it is not one that others could open.

    >>> public("git@github.com:someone/thing.git")
    'https://github.com/someone/thing'
    >>> public("https://name:secret@gitlab.com/someone/thing")
    'https://gitlab.com/someone/thing'
    >>> public("/srv/git/thing.git"), public("http://localhost:3000/a/b"), public("ssh://git@10.0.0.7/a/b")
    ('', '', '')
    """
    if short := re.fullmatch(r"[\w.-]+@([\w.-]+):(?!/)(.+)", address):
        address = f"ssh://{short[1]}/{short[2]}"
    parts = urlsplit(address)
    host = parts.hostname or ""
    owner_and_name = parts.path.strip("/").removesuffix(".git")
    named = re.fullmatch(r"[\w-]+(\.[\w-]+)*\.[a-z]{2,}", host) and not host.endswith((".local", ".internal", ".lan"))
    if parts.scheme not in ("http", "https", "ssh", "git") or not named or "/" not in owner_and_name:
        return ""
    return f"https://{host}/{owner_and_name}"


def repository(root: Path) -> str:
    """Where the clone came from: the workflow's own word, else git's."""
    if name := os.environ.get("GITHUB_REPOSITORY"):
        return public(f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{name}")
    try:
        asked = subprocess.run(
            ["git", "remote", "get-url", "origin"], cwd=root, capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return public(asked.stdout.strip())


def base(repository: str) -> str:
    """Where the book will stand, as far as anybody has said so."""
    if told := os.environ.get("KDCORE_BOOK_URL"):
        return told.rstrip("/") + "/"
    owner, _, name = os.environ.get("GITHUB_REPOSITORY", "").partition("/")
    return f"https://{owner}.github.io/{name}/" if name and "//github.com/" in repository else ""


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
    """The last line of a notebook's page: from which source, with which values and versions."""
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
    doctree += nodes.container("", title, fields, classes=["kd-made"])


def listed(values: dict[str, str], first: str) -> str:
    """Names and values in one line, the one that a reader looks for first."""
    return ", ".join(f"{name} {value}" for name, value in sorted(values.items(), key=lambda item: item[0] != first))


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
    app.connect("html-page-context", tidy, priority=900)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
