"""A Sphinx extension: figures that hold links are put into the page as SVG, where a browser follows them.

An image from a ``data:`` address shows the same drawing, but its links are dead; that is what other builders get.
"""

from __future__ import annotations

import base64
import html
import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

START = "data:image/svg+xml;base64,"
LINK = re.compile(r'<a ((?:xlink:)?href="[^"]*")[^>]*>\s*<!-- ([^>]*?) -->')  # a comment tells what the outlines say


def page_svg(uri: str, alt: str, prefix: str) -> str:
    """The drawing of a ``data:`` address, its ids made its own, since a page may hold several drawings.

    Its links bear the words that they show, and lead on in the same window.
    """
    svg = base64.b64decode(uri.removeprefix(START)).decode()
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
    svg = LINK.sub(r'<a \1 aria-label="\2"><!-- \2 -->', svg)
    words = f'<svg role="group" aria-label="{html.escape(alt)}" style="max-width:100%;height:auto" '
    return re.sub(r'<svg (role="img" )?(aria-label="[^"]*" )?', lambda _: words, svg, count=1)


class InlineFigures(SphinxPostTransform):
    """Replaces images of the class ``kd-inline`` in HTML pages."""

    default_priority = 5
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        for image in list(self.document.findall(nodes.image)):
            if "kd-inline" in self._classes(image) and image["uri"].startswith(START):
                prefix = next(iter(image.parent.get("ids", ())), "figure")
                image.replace_self(nodes.raw("", page_svg(image["uri"], image.get("alt", ""), prefix), format="html"))

    @staticmethod
    def _classes(image: nodes.image) -> list[str]:
        return [*image.get("classes", ()), *image.parent.get("classes", ())]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_post_transform(InlineFigures)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
