"""Terms of the field in both languages, each in a sentence, with the places that use it."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from kdcore.publishing.pages.links import Links, address, anchor, chinese
from kdcore.reporting.markup import escape

PAGE = "generated/glossary"
INTRODUCTION = """\
# Glossary {zh}`术语表`

The words of the field in English and in the surveys' own Chinese, each in a sentence of ours; behind it the rows of the
surveys that use it.
Terms of this book lead to the page that explains them.

"""


def glossary_page(words: Sequence[Mapping[str, Any]], links: Links) -> str:
    """The whole page as Markdown: a definition list in the order of the English alphabet."""
    entries = sorted(words, key=lambda word: word["term"].lower())
    return INTRODUCTION + "\n".join(entry(word, links) for word in entries)


def entry(word: Mapping[str, Any], links: Links) -> str:
    name = anchor(f"term-{word['term']}")
    head = f'<span id="{name}">{html.escape(word["term"])}</span>'
    if page := word.get("page"):
        target = address(page, "", PAGE)
        used = f'<a href="{target}">this book</a>'
    else:
        used = ", ".join(links.code(key, PAGE) for key in word["rows"])
    return f"{head} {chinese(word['zh'])}\n: {escape(word['means'])} *In* {used}.\n"
