"""The pages that nobody writes: coverage, map, surveys, errata, API, tables. Written into ``book/generated``.

They are made from the catalogue, the surveys' data, the published records and the executed notebooks, before every
build; a page that has not changed is not rewritten.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from kdcore.publishing.pages.coverage import coverage_page
from kdcore.publishing.pages.errata import errata_parts
from kdcore.publishing.pages.front import front_parts
from kdcore.publishing.pages.implementations import implementations_page
from kdcore.publishing.pages.links import Links
from kdcore.publishing.pages.methods import SURVEYS, map_page
from kdcore.publishing.pages.reference import api_pages
from kdcore.publishing.pages.surveys import survey_page
from kdcore.publishing.pages.tables import table_pages
from kdcore.publishing.project import PACKAGE, Project, digest, files_in, write_whole

SECTIONS = Path(__file__).with_name("sections.yaml")


def generate(project: Project) -> None:
    """Write every generated page, and remove those that are no longer made; over at once where nothing changed."""
    if project.root != PACKAGE.parent:
        return  # another book built with these tools; only this project's has a catalogue behind it
    stamp, now = project.build / "pages.sha256", state(project)
    if stamp.is_file() and stamp.read_text() == now and project.generated.is_dir():
        return
    made = dict(pages(project))
    for name, text in made.items():
        write_whole(project.generated / name, text)
    for path in files_in(project.generated, "*.*"):
        if path.relative_to(project.generated).as_posix() not in made:
            path.unlink()
    write_whole(stamp, now)


def state(project: Project) -> str:
    """Changes whenever a page could: the code, its tests, the notebooks, the records."""
    folders = (PACKAGE, project.root / "tests", project.sources, project.executed, project.book / "records")
    kinds = ("*.py", "*.yaml", "*.ipynb", "*.jsonl")
    return digest([path for folder in folders for path in files_in(folder, *kinds)], project.root)


def pages(project: Project) -> Iterator[tuple[str, str]]:
    """Name in ``book/generated`` and text of each."""
    from kdcore import catalogue, survey

    rows, chapters, covered = catalogue.inventory(), catalogue.CHAPTERS, catalogue.coverage(project.root)
    state = {row.id: vars(row) for row in (*covered.rows, *covered.additions)}
    links = Links.of(project, state)
    done = {key: row["implemented"] for key, row in state.items()}
    sections = yaml.safe_load(SECTIONS.read_text(encoding="utf-8"))
    yield "coverage.md", coverage_page(rows, catalogue.additions(), state, chapters, links)
    yield "map.md", map_page(rows, done, chapters, sections, links)
    for text in survey.surveys():
        if text["id"] in SURVEYS:
            titles = sections[text["id"]]
            page = survey_page(text, rows, survey.equations(), survey.errata(), titles, links)
            yield f"surveys/{text['id']}.md", page
    for name, page in errata_parts(survey.errata(), links).items():
        yield f"errata/{name}", page
    yield "implementations.md", implementations_page(project.root / "tests" / "reference", links)
    for name, page in api_pages().items():
        yield f"api/{name}", page
    tables = table_pages(project)
    for name, page in tables.items():
        yield name, page
    for name, page in front_parts(project, covered, chapters, tables).items():
        yield f"front/{name}", page
