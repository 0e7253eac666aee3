"""The pages that nobody writes: coverage, map, surveys, errata, glossary, API, tables. Written into ``book/generated``.

They are made from the catalogue, the surveys' data, the published records and the executed notebooks, before every
build; a page that has not changed is not rewritten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from kdcore.publishing.addresses import repository
from kdcore.publishing.pages.answers import Answers
from kdcore.publishing.pages.behind import costs, said_behind
from kdcore.publishing.pages.choose import choose_page, gains
from kdcore.publishing.pages.coverage import coverage_page
from kdcore.publishing.pages.errata import errata_parts
from kdcore.publishing.pages.fits import Refused, fits_page, known_refusals
from kdcore.publishing.pages.front import front_parts
from kdcore.publishing.pages.glossary import glossary_page
from kdcore.publishing.pages.implementations import implementations_page
from kdcore.publishing.pages.links import Links
from kdcore.publishing.pages.methods import SURVEYS, map_page
from kdcore.publishing.pages.reference import api_pages
from kdcore.publishing.pages.speed import speed_page
from kdcore.publishing.pages.surveys import NOTES, notes_page, survey_page
from kdcore.publishing.pages.tables import table_pages
from kdcore.publishing.project import PACKAGE, Project, digest, files_in, write_whole
from kdcore.reporting.editions import methods_published

if TYPE_CHECKING:
    from kdcore.experiments.cost import Cost


def generate(project: Project) -> None:
    """Write every generated page, and remove those that are no longer made; over at once where nothing changed."""
    if project.root != PACKAGE.parent:
        return  # another book built with these tools; only this project's has a catalogue behind it
    stamp, now = project.build / "pages.sha256", state(project)
    if stamp.is_file() and stamp.read_text() == now and project.generated.is_dir():
        return
    made = dict(pages(project, *reckoned(project)))
    for name, text in made.items():
        write_whole(project.generated / name, text)
    for path in files_in(project.generated, "*.*"):
        if path.relative_to(project.generated).as_posix() not in made:
            path.unlink()
    write_whole(stamp, now)


def state(project: Project) -> str:
    """Changes whenever a page could: the code, its tests, the notebooks, the records."""
    folders = (PACKAGE, project.root / "tests", project.sources, project.executed, project.book / "records")
    folders = (*folders, project.root / "benchmarks")
    kinds = ("*.py", "*.yaml", "*.ipynb", "*.jsonl", "*.csv")
    files = [path for folder in folders for path in files_in(folder, *kinds)]
    return f"{digest(files, project.root)} {repository(project.root)}"


def reckoned(project: Project) -> tuple[dict[str, Cost], Refused]:
    """What takes a minute and hangs on the code alone: costs of steps, and which pairs are refused."""
    return known_costs(project), known_refusals(project)


def known_costs(project: Project) -> dict[str, Cost]:
    """What a step costs with each loss of the catalogue."""
    from kdcore.catalogue import entries

    return costs(project, [entry.key for entry in entries() if entry.kind == "loss"])


def pages(
    project: Project, known: Mapping[str, Cost] = {}, refused: Mapping[str, Mapping[str, str]] = {}
) -> Iterator[tuple[str, str]]:
    """Name in ``book/generated`` and text of each."""
    from kdcore import catalogue, survey
    from kdcore.catalogue.needs import needs

    rows, chapters, covered = catalogue.inventory(), catalogue.CHAPTERS, catalogue.coverage(project.root)
    state = {row.id: vars(row) for row in (*covered.rows, *covered.additions)}
    links = Links.of(project, state)
    done = {key: row["implemented"] for key, row in state.items()}
    answers = Answers.of([*rows, *catalogue.additions()], state, links, repository(project.root))
    yield "coverage.md", coverage_page(rows, catalogue.additions(), state, chapters, links)
    yield "map.md", map_page(rows, done, chapters, survey.contents(), links)
    for name, page in survey_pages(answers).items():
        yield f"surveys/{name}.md", page
    for name, page in errata_parts(survey.errata(), links).items():
        yield f"errata/{name}", page
    yield "implementations.md", implementations_page(project.root / "tests" / "reference", links)
    yield "speed.md", speed_page(project.root / "benchmarks")
    yield "glossary.md", glossary_page(survey.glossary(), links)
    yield "fits.md", fits_page(refused, links)
    yield "choose.md", choose_page(answers, needs(), known, gains(project), chapters)
    about = said_behind(answers, methods_published(project.book / "records"), known)
    for name, page in api_pages(about=about).items():
        yield f"api/{name}", page
    tables = table_pages(project)
    for name, page in tables.items():
        yield name, page
    for name, page in front_parts(project, covered, chapters, tables, links).items():
        yield f"front/{name}", page


def survey_pages(answers: Answers) -> dict[str, str]:
    """File name to Markdown: a page for each survey, and one for the two notes."""
    from kdcore import survey

    texts, contents, equations, errata = survey.surveys(), survey.contents(), survey.equations(), survey.errata()
    made = {
        text["id"]: survey_page(text, contents[text["id"]], equations, errata, answers)
        for text in texts
        if text["id"] in SURVEYS
    }
    notes = [text for text in texts if text["id"] not in SURVEYS]
    return made | {NOTES: notes_page(notes, contents, errata, answers)}
