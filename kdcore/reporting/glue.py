"""Numbers for sentences: ``glue("kd-gain", value)``, then ``{glue:text}`kd-gain:.1f``` in the text."""

from __future__ import annotations

import math
from typing import Any

PREFIX = "application/papermill.record/"


def glue(name: str, value: Any) -> None:
    """Keep a value in the notebook under a name, without showing it; nothing happens outside a notebook.

    The bundle is MyST-NB's, which then need not be there. Numbers of NumPy and torch become Python's, since the page
    reads ``text/plain`` back; strings are pasted as they are.

    Raises:
        ValueError: a number that is not finite, or a name with a colon, behind which the page reads a format.
    """
    if not name or ":" in name:
        raise ValueError(f"name must be a word without a colon, got {name!r}")
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be finite to stand in a sentence, got {value}")
    if hasattr(value, "_repr_mimebundle_"):
        bundle = value._repr_mimebundle_()
    else:
        bundle = {"text/plain": repr(value)} | ({"text/markdown": value} if isinstance(value, str) else {})
    metadata = {"scrapbook": {"name": name, "mime_prefix": PREFIX}}
    _display({PREFIX + mime: content for mime, content in bundle.items()}, metadata)


def _display(bundle: dict[str, Any], metadata: dict[str, Any]) -> None:
    try:
        from IPython.core.getipython import get_ipython
        from IPython.display import display
    except ModuleNotFoundError:
        return
    if get_ipython() is not None:
        display(bundle, raw=True, metadata=metadata)
