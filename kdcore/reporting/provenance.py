"""How something on a page was made: which records, on what, and the command that makes it again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kdcore.reporting.display import fenced
from kdcore.reporting.editions import Edition, edition_of, published_editions
from kdcore.reporting.formatting import capital, counted, listed, ranges, seeds_text
from kdcore.reporting.markup import code, escape, to_html, to_plain
from kdcore.reporting.selection import Record, device_of, origin

OTHERS = "published by others"
NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class Provenance:
    """Label and text of each fact, in the order in which they are shown."""

    facts: tuple[tuple[str, str], ...]

    def __getitem__(self, label: str) -> str:
        return dict(self.facts)[label]

    def text(self) -> str:
        return "\n".join(f"{label}: {to_plain(fact)}" for label, fact in self.facts)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        line = " · ".join(f"{label}: {fact}" for label, fact in self.facts)
        html = f'<p class="kd-provenance"><small>{to_html(line)}</small></p>'
        return {
            "text/markdown": fenced("container", "kd-provenance", {}, line),
            "text/html": html,
            "text/plain": self.text(),
        }


def provenance(records: Iterable[Record], command: str | None = None, *, edition: Edition | None = None) -> Provenance:
    """How the table or figure above was made.

    Args:
        records: those it shows; none for a figure that is computed where it stands.
        command: that makes it again; built from the records where None.
        edition: which it shows; the newest that holds these records where None.
    """
    records = list(records)
    experiments = sorted({str(record.get("experiment")) for record in records})
    origins = sorted({origin(record) for record in records}) or ["this build"]
    facts = [("Origin", listed(origins))]
    if records:
        profiles = sorted({str(record.get("profile") or NOT_RECORDED) for record in records})
        published = published_editions(experiments[0]).entries if len(experiments) == 1 else ()
        editions = f"{counted(len(records), 'record')}, edition {edition or edition_of(records, published)}"
        facts += [
            ("Profile", escape(listed(profiles))),
            ("Device", escape(listed(sorted({_device(record) for record in records})))),
            ("Seeds", ranges(record["seed"] for record in records)),
            ("Records", editions),
        ]
    facts += [("Versions", _versions(records)), ("Commit", _commits(records))]
    again = command or _command(records, experiments)
    return Provenance((*facts, ("Again", code(again))) if again else tuple(facts))


def caption(text: str, records: Iterable[Record], *, edition: Edition | None = None) -> str:
    """A caption with what every figure of results must say: profile, device, seeds, number of records, edition."""
    records = list(records)
    found = provenance(records, edition=edition)
    facts = [f"profile {found['Profile']}", found["Device"], seeds_text(record["seed"] for record in records)]
    facts += [found["Records"], found["Origin"]]
    return f"{text.rstrip()} {capital(', '.join(facts))}."


def _device(record: Record) -> str:
    """The kind of device, with its name where the record has one."""
    kind, made = device_of(record), record.get("provenance", {})
    name = made.get("processor") if kind == "cpu" else made.get("device")
    return f"{kind} ({name})" if name and name != kind else kind


def _versions(records: Sequence[Record]) -> str:
    """Package versions: those in the records, else those of this process."""
    found: dict[str, set[str]] = {}
    for record in records:
        for package, version in (record.get("provenance", {}).get("versions") or {}).items():
            found.setdefault(package, set()).add(str(version))
    if found:
        return escape(", ".join(f"{package} {listed(sorted(found[package]), 'or')}" for package in sorted(found)))
    if records:
        return NOT_RECORDED
    from kdcore.experiments.provenance import versions

    return escape(", ".join(f"{package} {version}" for package, version in versions().items()))


def _commits(records: Sequence[Record]) -> str:
    """The commits that the records name, else the one that is checked out, else that there is none."""
    commits = {record.get("provenance", {}).get("commit") for record in records} - {None, ""}
    if commits:
        return listed(code(_short(one)) for one in sorted(commits))
    from kdcore.experiments.provenance import commit

    here = commit()
    if here is None:
        return NOT_RECORDED
    return f"{code(_short(here))} (of this page; the records name none)" if records else code(_short(here))


def _short(commit: str) -> str:
    """Twelve digits, with the plus that stands for changes that were not committed."""
    return commit.rstrip("+")[:12] + "+" * commit.endswith("+")


def _command(records: Sequence[Record], experiments: Sequence[str]) -> str:
    """``kdcore run`` with what the records have in common."""
    if len(experiments) != 1:
        return ""
    profiles, devices = ({read(record) for record in records} for read in (lambda r: r.get("profile"), device_of))
    only = lambda found: found.pop() if len(found) == 1 else None
    return command(experiments[0], only(profiles), only(devices))


def command(experiment: str, profile: str | None = None, device: str | None = None) -> str:
    """What makes records of an experiment again.

    Example:
        >>> command("response", "quick", "cpu"), command("response")
        ('kdcore run response --profile quick --device cpu', 'kdcore run response')
        >>> command("response-search")
        'kdcore run response --search'
    """
    words = f"kdcore run {experiment.removesuffix('-search')}"
    words += " --search" if experiment.endswith("-search") else ""
    words += f" --profile {profile}" if profile else ""
    return words + (f" --device {device}" if device in ("cpu", "cuda", "mps") else "")


def published_by(citation: str, protocol: str) -> Provenance:
    """The label of numbers that are not ours."""
    return Provenance((("Origin", OTHERS), ("Source", f"{{cite:t}}`{citation}`"), ("Protocol", escape(protocol))))
