"""A page for each experiment whose records are published, and the list of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kdcore.experiments.types import SEARCH
from kdcore.publishing.pages.links import anchor
from kdcore.publishing.project import Project
from kdcore.reporting.editions import changelog, published_editions
from kdcore.reporting.provenance import provenance
from kdcore.reporting.selection import device_of

if TYPE_CHECKING:
    from kdcore.reporting.tables import ResultTable, SearchTable
    from kdcore.reporting.verdicts import Verdict

# What a reader has to know before reading a number of that profile.
PROFILES = {
    "smoke": "A few steps on digits: it shows that the code runs, and no number here means anything else.",
    "quick": "The quick task of this book: small networks on scikit-learn's digits.",
    "short": "A short recipe, a few epochs: all images and the last epoch, but far from the surveys' setting.",
    "paper": "The surveys' own setting.",
}
# Experiments beside whose records a block of published numbers stands; the front page shows the first that has records.
SHOWN = {"zhao2026-table2": "zhao2026-table2", "si2023-table1": "si2023-table1", "cifar10-first": "si2023-table1"}
INTRODUCTION = """\
Each table here is regenerated from committed records, one line a run, and names the edition of those records.
Beside it stand its numbers as CSV and JSON, LaTeX for a paper, and the entry to cite it by; under it, what moved from
edition to edition and why.

A frame says where a number comes from: <span class="kd-origin kd-committed">committed record</span>,
<span class="kd-origin kd-build">this build</span>, or <span class="kd-origin kd-others">published by others</span>.
"""
EMPTY = "Nothing has been published yet: `kdcore records publish EXPERIMENT` puts chosen runs here.\n"


def table_pages(project: Project) -> dict[str, str]:
    """File name to Markdown; ``tables.md`` lists the others."""
    names = published_names(project)
    pages = {f"tables/{name}.md": table_page(name) for name in names}
    items = "\n".join(f"- {{ref}}`published-{name}`" for name in names)
    told = re.sub(r"^## ", "### ", changelog({name: published_editions(name).entries for name in names}), flags=re.M)
    news = f"## What moved {{zh}}`变更`\n\n{told}" if told else ""
    pages["tables.md"] = f"# Published tables {{zh}}`已发布的结果`\n\n{INTRODUCTION}\n{items or EMPTY}\n\n{news}"
    return pages


def published_names(project: Project) -> list[str]:
    """Experiments with committed records."""
    return sorted(path.stem for path in (project.book / "records").glob("*.jsonl") if ".editions" not in path.name)


def table_page(name: str) -> str:
    """Every table of one experiment, one a profile and kind of device."""
    from kdcore.experiments import get

    about = get(name)
    zh = "权重选择" if name.endswith(SEARCH) else "结果表"
    head = f"(published-{name})=\n# {about.title} {{zh}}`{zh}`\n\nExperiment `{name}`.\n"
    parts, others = [], beside_rows(name, beside(SHOWN[name])[0]) if name in SHOWN else None
    tables = search_tables_of(name) if name.endswith(SEARCH) else tables_of(name, published=others)
    for profile, device, table, records in tables:
        made = provenance(records)._repr_mimebundle_()["text/markdown"]
        shown = table._repr_mimebundle_()["text/markdown"]
        told = f"## Profile {profile}, {device} {{zh}}`配置`\n\n{PROFILES[profile]}\n\n{shown}\n\n{made}\n"
        parts.append(f"{told}\n{'' if name.endswith(SEARCH) else verdicts_of(table, records, others)}")
    return "\n".join([head, *parts, editions_of(name)])


def judged(table: ResultTable, records: list[Any], published: Mapping[str, Any] | None) -> tuple[Verdict, ...]:
    """A verdict for each row of a table, and for each number that stands beside it."""
    from kdcore.experiments import get
    from kdcore.reporting.verdicts import verdicts

    about = {"profile": table.profile, "device": table.device, "published": published, "method": table.method}
    return verdicts(records, get(table.experiment), metric=table.metric.key, **about)


def verdicts_of(table: ResultTable, records: list[Any], published: Mapping[str, Any] | None) -> str:
    """What may be said of each published number, with the rules; nothing where there is none beside ours."""
    if not any(line.published for line in table.lines if line.values):
        return ""
    from kdcore.reporting.verdicts import verdict_table

    about = {"caption": "What these records say of the published numbers.", "name": f"{table.name}-verdicts"}
    return verdict_table(judged(table, records, published), table, **about)._repr_mimebundle_()["text/markdown"] + "\n"


def beside_rows(name: str, block: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The published numbers for an experiment's rows: those of a block, or None where the rows have their own."""
    from kdcore.experiments import get

    return None if any(row.published for row in get(name).rows) else block


def beside(block: str) -> tuple[dict[str, dict[str, Any]], str]:
    """The published numbers of one source, as a table takes them, and where they were printed."""
    from kdcore import survey

    found = next(one for one in survey.published() if one["id"] == block)
    numbers = {key: value["mean"] if isinstance(value, dict) else value for key, value in found["values"].items()}
    numbers |= {"student": found["student"].get("accuracy"), "teacher": found["teacher"].get("accuracy")}
    about = {
        "citation": found["source"].split()[0],
        "protocol": f"{found['source']}. {found['protocol'].rstrip('.')}",
        "selection": found["selection"] if found["selection"] in ("last", "best") else "unknown",
    }
    return {key: {"value": value / 100, **about} for key, value in numbers.items() if value}, found["source"]


def editions_of(name: str) -> str:
    """What moved from edition to edition and why, and how an older one is computed again."""
    from kdcore.experiments import read
    from kdcore.reporting.changes import changes

    records = read(name, where="published")
    told = changes(published_editions(name).entries, records, metric_of(records))
    again = f"`kdcore table {name} --edition HASH` computes any of them again.\n"
    return f"## Editions {{zh}}`版本`\n\n{again}\n{told}" if told else ""


def tables_of(
    name: str, published: Mapping[str, Any] | None = None
) -> Iterator[tuple[str, str, ResultTable, list[Any]]]:
    """Profile, device, table and its records; the longest recipe first.

    `published` are numbers of others to stand beside, in place of the experiment's own.
    """
    from kdcore.experiments import get
    from kdcore.reporting.tables import result_table

    for profile, device, records in kinds_of(name):
        about = {"profile": profile, "device": device, "published": published}
        about["name"] = label_of(name, profile, device)
        made = result_table(records, get(name), metric_of(records), **about)
        yield profile, device, made, records


def search_tables_of(name: str) -> Iterator[tuple[str, str, SearchTable, list[Any]]]:
    """As `tables_of`, for a search: what it tried and chose."""
    from kdcore.reporting.tables import search_table

    for profile, device, records in kinds_of(name):
        about = {"profile": profile, "device": device, "name": label_of(name, profile, device)}
        yield profile, device, search_table(name, records, **about), records


def kinds_of(name: str) -> Iterator[tuple[str, str, list[Any]]]:
    """Profile, device and their committed records; the longest recipe first."""
    from kdcore.experiments import read

    every = read(name, where="published")
    kinds = {(record["profile"], device_of(record)) for record in every}
    for profile, device in sorted(kinds, key=lambda kind: (-list(PROFILES).index(kind[0]), kind[1])):
        yield profile, device, [one for one in every if (one["profile"], device_of(one)) == (profile, device)]


def label_of(name: str, profile: str, device: str) -> str:
    """What a published table is called: the label of its page, its files and its entry."""
    return anchor(f"tab-published-{name}-{profile}-{device}")


def metric_of(records: Sequence[Mapping[str, Any]]) -> str:
    """What a table shows where nobody chose: accuracy, else the first number of a record."""
    numbers = [record["last"] for record in records if record.get("last")]
    found = dict.fromkeys(name for last in numbers for name, value in last.items() if isinstance(value, int | float))
    return "accuracy" if "accuracy" in found or not found else next(iter(found))
