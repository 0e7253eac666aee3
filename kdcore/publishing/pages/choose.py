"""Which loss to take: by what it asks of one's own loop, with what a step costs and where its numbers are.

Everything is read: needs from the code, costs from a counted step, gains from committed records.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from kdcore.catalogue.needs import WORDS
from kdcore.publishing.pages.answers import Answers
from kdcore.publishing.pages.links import address, chinese
from kdcore.reporting.formatting import counted

if TYPE_CHECKING:
    from kdcore.experiments.cost import Cost
    from kdcore.publishing.project import Project

PAGE = "generated/choose"
COMPARISON = "-comparison"  # how the label of a chapter's last comparison ends
SCORES = frozenset({"logits", "labels"})
INTRODUCTION = """\
---
html_theme.sidebar_secondary.remove: true
---
# Choose a loss {zh}`选择损失函数`

*Which losses get by with what you have, what a step with each costs, and where its numbers are.*

Each loss stands under the first heading that is enough for it; `kdcore methods --with logits,labels` asks the same in a terminal.
What a step costs is counted, not timed: the arithmetic of one step on this book's quick pair of networks, the teacher's included, in steps of the student alone; beside it stands how many parameters are learned beside the student's.
A loss that this pair cannot serve is told with another task.
"""  # noqa: E501
COMPARED = """\
What a loss is worth depends on the pair.
Each chapter compares its methods on one task, with paired seeds, and says which of them are ties: {chapters}.
"""
GAINS = "A gain is the paired difference to the student alone with its interval, from committed records.\n"


class Shelf(NamedTuple):
    """A heading, and the needs that it covers."""

    title: str
    zh: str
    covers: frozenset[str]
    said: str


SHELVES = (
    Shelf("Scores alone", "仅需输出", frozenset({"logits"}), "The logits of both networks; labels play no part."),
    Shelf("Scores and labels", "输出与标签", SCORES, "The logits of both networks, and the class of each example."),
    Shelf("The embedding", "嵌入", SCORES | {"embedding"}, "What stands before the classifier, a vector an example."),
    Shelf("Feature maps", "特征图", SCORES | {"embedding", "features", "preactivations"},
          "What named layers return; `kdcore.models.wrap` listens to them in any network."),
    Shelf("Inside a transformer", "Transformer 内部", SCORES | {"embedding", "features", "attention", "hidden states"},
          "Attention, or the hidden states of every block."),
    Shelf("More than a plain step", "需要额外步骤", frozenset(WORDS),
          "Another view or pass, the samples' numbers, a critic with an optimiser of its own, or a stage before."),
)  # fmt: skip
Gains = Mapping[str, Sequence[tuple[str, str]]]  # key of a loss to experiments and gains


def choose_page(
    answers: Answers,
    needs: Mapping[str, tuple[str, ...]],
    costs: Mapping[str, Cost],
    gains: Gains,
    chapters: Mapping[str, Any],
) -> str:
    """The whole page as Markdown; a row of the surveys or the additions that is not here yet has no line."""
    shelves: dict[Shelf, list[str]] = {shelf: [] for shelf in SHELVES}
    for key in answers.rows:
        if needs.get(key) and answers.here(key):
            shelves[shelf_of(needs[key])].append(key)
    parts = [INTRODUCTION, *compared(answers, chapters), *([GAINS] if gains else [])]
    for shelf, keys in shelves.items():
        if keys:
            rows = [cells(key, answers, needs[key], costs.get(key), gains) for key in keys]
            parts.append(f"## {shelf.title} {{zh}}`{shelf.zh}`\n\n{shelf.said}\n\n{table(rows)}\n")
    return "\n".join(parts)


def shelf_of(needs: Sequence[str]) -> Shelf:
    return next(shelf for shelf in SHELVES if set(needs) <= shelf.covers)


def compared(answers: Answers, chapters: Mapping[str, Any]) -> Iterator[str]:
    """The chapters that end with a comparison of their methods, each a link to it."""
    by_page = {f"executed/{each.notebook.split('/')[-1].removesuffix('.ipynb')}": each for each in chapters.values()}
    found = [
        f"{{ref}}`{by_page[page].title} <{label}>`"
        for label, page in answers.links.homes.items()
        if label.endswith(COMPARISON) and page in by_page
    ]
    if found:
        yield COMPARED.format(chapters=", ".join(found))


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Columns that have something to say; on a phone each row is a card whose cells bear their column's name."""
    names = [name for name in rows[0] if any(row[name] for row in rows)]
    if len(rows) > 1 and len({row["Asks for"] for row in rows}) == 1:
        names.remove("Asks for")  # the heading says it
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "\n".join(f"<tr>{''.join(cell(name, row[name]) for name in names)}</tr>" for row in rows)
    return (
        f'<div class="kd-wide"><table class="kd-contents">\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def cell(name: str, said: str) -> str:
    return f'<th scope="row">{said}</th>' if name == "Loss" else f'<td data-label="{name}">{said}</td>'


def cells(key: str, answers: Answers, needs: Sequence[str], cost: Cost | None, gains: Gains) -> dict[str, str]:
    row = answers.rows[key]
    zh = row.get("zh", "").partition(" / ")[0]
    return {
        "Loss": f"{answers.links.code(key, PAGE)} {html.escape(row['name'])} {chinese(zh)}",
        "In code": next(iter(answers.code(key, PAGE)), ""),
        "Asks for": ", ".join(needs),
        "A step costs": f"{cost.arithmetic:.2f} ×" if cost else "another task",
        "Learns beside": counted(cost.parameters, "parameter") if cost and cost.parameters else "",
        "Gain": "; ".join(gain(*one) for one in gains.get(key, ())),
    }


def gain(experiment: str, said: str) -> str:
    href = address(f"generated/tables/{experiment}", "", PAGE)
    return f'<a href="{href}">{html.escape(experiment)}</a> {html.escape(said)}'


def gains(project: Project) -> dict[str, list[tuple[str, str]]]:
    """Each loss's gain in every published table that holds it, for the longest recipe of that table.

    Runs that stand in several tables are told once: by a table of the surveys if one holds them.
    """
    from kdcore.publishing.pages.tables import SHOWN, published_names, tables_of

    found: dict[str, list[tuple[str, str]]] = {}
    told: set[tuple[str, tuple[str, ...]]] = set()
    names = published_names(project)
    for name in [one for one in SHOWN if one in names] + [one for one in names if one not in SHOWN]:
        profile, _, shown, _ = next(tables_of(name))
        if profile not in ("short", "paper"):
            continue
        for one in shown.lines:
            if one.difference is None or one.difference.mean is None:
                continue
            runs = one.key, tuple(sorted(record["hash"] for record in shown.selection.rows[one.key].records))
            if runs not in told:
                told.add(runs)
                found.setdefault(one.key, []).append((name, shown.gain_text(one.key)))
    return found
