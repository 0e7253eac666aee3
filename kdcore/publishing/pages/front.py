"""What the front page shows that is computed: a real table, the map of chapters, the doors that open."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kdcore.publishing.pages.links import COVERAGE, address
from kdcore.publishing.pages.methods import GROUPS
from kdcore.publishing.pages.tables import PROFILES, SHOWN, beside, beside_rows, judged, tables_of
from kdcore.publishing.project import Project
from kdcore.reporting.formatting import capital
from kdcore.reporting.markup import Grid, escape

if TYPE_CHECKING:
    from kdcore.publishing.pages.links import Links
    from kdcore.reporting.tables import Line, ResultTable
    from kdcore.reporting.verdicts import Verdict

MOST = 18  # rows: more would push the doors off the first screen
# Title, what is behind it, the document; a door whose document is not there is left out.
DOORS = (
    ("Read", "Each section of the surveys: idea, mathematics, code, experiment.", "executed/01_foundations"),
    ("Use one loss", "A plain function in your own loop, a whole method in a few lines.", "use"),
    ("Choose a loss", "What each asks for, what it costs, where its numbers are.", "generated/choose"),
    ("Rerun", "One command, on a laptop or a GPU, resumed where it stopped.", "rerun"),
    ("Cite", "The software, or one edition of one table.", "cite"),
)


def front_parts(
    project: Project, covered: Any, chapters: Mapping[str, Any], tables: Mapping[str, str], links: Links
) -> dict[str, str]:
    """File name to Markdown, included by ``book/index.md``."""
    name = next((name for name in SHOWN if f"tables/{name}.md" in tables), "")
    shown = first_table(name, SHOWN[name], links) if name else ""
    return {
        "doors.md": doors(project),
        "state.md": state(project, covered, chapters),
        "hero.md": hero(shown, chapter_map(project, covered, chapters)),
    }


def hero(table: str, chart: str) -> str:
    """The table beside the map; the map alone where nothing has been published."""
    kind = "kd-hero" if table else "kd-hero kd-alone"
    parts = [f":::{{container}} kd-hero-part\n{part}\n:::" for part in (table, chart) if part]
    return "\n".join([f"::::{{container}} {kind}", *parts, "::::", ""])


def doors(project: Project) -> str:
    cards = [
        f":::{{grid-item-card}} {title}\n:link: /{document}\n:link-type: doc\n\n{said}\n:::"
        for title, said, document in DOORS
        if document.startswith("generated/")
        or any((project.book / f"{document}{suffix}").is_file() for suffix in (".md", ".ipynb"))
    ]
    options = (":gutter: 2", ":padding: 0", ":class-container: kd-doors")
    return "\n".join([f"::::{{grid}} 1 2 {len(cards)} {len(cards)}", *options, "", *cards, "::::", ""])


def state(project: Project, covered: Any, chapters: Mapping[str, Any]) -> str:
    """How many chapters are written and how many rows are implemented."""
    done, of_all = covered.counts()
    told = sum(written(project, chapter) for chapter in chapters.values())
    return (
        f"{told} of {len(chapters)} chapters are written, and {done} of {of_all} losses, schemes, claims and tables "
        "that the surveys define are computed, tested and told.\n"
    )


def written(project: Project, chapter: Any) -> bool:
    return (project.executed / f"{name_of(chapter)}.ipynb").is_file()


def name_of(chapter: Any) -> str:
    return chapter.notebook.removeprefix("notebooks/").removesuffix(".ipynb")


# ---------------------------------------------------------------- the map


def chapter_map(project: Project, covered: Any, chapters: Mapping[str, Any]) -> str:
    """The chapters under the question that each answers, every one a link; filled where it is written."""
    rows = []
    for question, keys in GROUPS.items():
        tiles = "".join(tile(project, covered, key, chapters[key]) for key in keys if key in chapters)
        rows.append(f'<li class="kd-nodes"><span class="kd-question">{question}</span>{tiles}</li>')
    every = '<a href="generated/map.html">Every method</a>'
    said = "The map: chapters, and how many of their rows are here; filled ones are written."
    caption = f'<p class="kd-map-title">{said} {every}</p>'
    return f'{caption}\n<ul class="kd-front">{"".join(rows)}</ul>'


def tile(project: Project, covered: Any, key: str, chapter: Any) -> str:
    here = written(project, chapter)
    href = (
        address(f"executed/{name_of(chapter)}", "", "index") if here else address(COVERAGE, f"coverage-{key}", "index")
    )
    count = "{}/{}".format(*covered.counts(key))
    kind = "kd-done" if here else "kd-open"
    return (
        f'<a class="kd-tile {kind}" href="{href}" title="{html.escape(chapter.zh)}">{html.escape(chapter.title)} '
        f"<small>{count}</small></a>"
    )


# ---------------------------------------------------------------- the table


def first_table(name: str, block: str, links: Links) -> str:
    """Published value, our record, its spread, the verdict; intervals, rules and notes stand on the table's page."""
    from kdcore.reporting.verdicts import by_row

    others, source = beside(block)
    others = beside_rows(name, others)
    profile, _, table, records = next(tables_of(name, published=others))
    found = by_row(judged(table, records, others))
    here, there = len(shown(table)), len(table.lines)
    silent = reasons([found[one.key] for one in table.lines if one.values and one.key in found])
    few = [f"{here} of its {there} rows are here, the others are on its page."] if here < there else []
    notes = [PROFILES[profile], *silent, *few]
    caption = f"{table.title}: {table.metric.label}, %, mean ± deviation over seeds (n). Edition {table.edition}."
    grid = front_grid(table, source, found, links).markdown()
    more = f"{{ref}}`Intervals, rules, downloads <published-{name}>`."
    return f"~~~{{table}} {caption}\n:name: tab-front\n:class: kd-table\n\n{grid}\n~~~\n\n{' '.join(notes)} {more}\n"


def reasons(found: Sequence[Verdict]) -> list[str]:
    """Why rows that were run have no verdict, each reason once."""
    from kdcore.reporting.verdicts import NO_VERDICT

    silent = dict.fromkeys(one.because for one in found if one.labels == (NO_VERDICT,))
    return [f"{capital(NO_VERDICT)}: {escape('; '.join(silent))}."] if silent else []


def front_grid(table: ResultTable, source: str, found: Mapping[str, Verdict], links: Links) -> Grid:
    """The columns of the front page."""
    header = ("", f"published, {escape(source)}", "our record", "verdict")
    return Grid(header, tuple(front_row(table, line, found, links) for line in shown(table)), "lrrl")


def shown(table: ResultTable) -> list[Line]:
    """Rows that were run; what is not run yet stands on the table's own page."""
    return [line for line in table.lines if line.values][:MOST]


def front_row(table: ResultTable, line: Line, found: Mapping[str, Verdict], links: Links) -> tuple[str, ...]:
    name = links.code(line.key, "index") if links.told(line.key) else table.label(line.key)
    published = "; ".join(f"{table.metric.scale * one.value:.2f}" for one in line.published)
    said = found[line.key].text if line.key in found else ""
    return name, published or "–", table.value_text(line.key) if line.values else line.status, said
