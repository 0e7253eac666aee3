"""Which methods fit a pair of networks, and in which words the others refuse it; computed when the pages are made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kdcore.publishing.pages.links import Links
from kdcore.publishing.project import PACKAGE, Project, digest, files_in, write_whole
from kdcore.reporting.markup import escape

if TYPE_CHECKING:
    from kdcore.experiments.fits import Pair

PAGE = "generated/fits"
Refused = Mapping[str, Mapping[str, str]]  # a pair's key to what refuses it, key to sentence
HEAD = """\
(fits)=
# Which methods fit a pair {zh}`方法与网络对`

Not every method can compare any two networks.
For the pairs of this page the whole catalogue was built from sizes alone, without weights, images or training, and each loss was given answers without values.
What cannot be built, or will not compare such answers, says so in a sentence, as it does before a training; that of shapes can often be helped by naming other stages.
Of two networks of one's own `kdcore train --teacher A --student B --method KEY --data D --steps 2` says whether a method fits them.
"""  # noqa: E501
ALL = "\n## At a glance {zh}`一览`\n\nA dot stands where a method fits.\n\n"


def known_refusals(project: Project) -> Refused:
    """What refuses each pair; worked out once for each state of the code."""
    path, mark = project.build / "refusals.json", digest(files_in(PACKAGE, "*.py"), PACKAGE)
    known = json.loads(path.read_text()) if path.is_file() else {}
    if known.get("mark") != mark:
        from kdcore.experiments.fits import PAIRS, refusals

        known = {"mark": mark, "refused": {pair.key: refusals(pair) for pair in PAIRS}}
        write_whole(path, json.dumps(known, indent=1))
    return known["refused"]


def fits_page(refused: Refused, links: Links) -> str:
    """The whole page: all methods against all pairs, then each pair with its refusals."""
    from kdcore.experiments.fits import PAIRS, tried

    pairs, keys = [pair for pair in PAIRS if pair.key in refused], [entry.key for entry in tried()]
    return "\n".join([HEAD + ALL + glance(pairs, keys, refused, links), *(of_pair(p, refused, links) for p in pairs)])


def glance(pairs: Sequence[Pair], keys: Sequence[str], refused: Refused, links: Links) -> str:
    """A line a method, a column a pair."""
    head = ["Method", *(f"{{ref}}`{pair.title} <fits-{pair.key}>`" for pair in pairs)]
    lines = [[links.code(key, PAGE), *("" if key in refused[pair.key] else "•" for pair in pairs)] for key in keys]
    return grid(head, lines, ":--" + "|:-:" * len(pairs))


def of_pair(pair: Pair, refused: Refused, links: Links) -> str:
    """Each sentence with the methods that say it."""
    said: dict[str, list[str]] = {}
    for key, sentence in refused[pair.key].items():
        said.setdefault(sentence, []).append(links.code(key, PAGE))
    lines = [[escape(sentence).replace("|", "\\|") + ".", ", ".join(keys)] for sentence, keys in said.items()]
    told = f"`{pair.teacher}` teaches `{pair.student}` on {pair.seen}; {len(refused[pair.key])} refuse."
    return f"\n(fits-{pair.key})=\n## {pair.title} {{zh}}`{pair.zh}`\n\n{told}\n\n" + grid(
        ["Reason", "Said by"], lines, ":--|:--"
    )


def grid(head: Sequence[str], lines: Sequence[Sequence[str]], align: str) -> str:
    rows = [head, align.split("|"), *lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows) + "\n"
