"""Lines: losses and gradients against the temperature, learning over epochs, with what seeds add to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from kdcore.reporting.figures.arrays import array
from kdcore.reporting.figures.drawing import Figure, render
from kdcore.reporting.figures.style import role, styles
from kdcore.reporting.formatting import ranges
from kdcore.reporting.metrics import metric_of
from kdcore.reporting.selection import Record, group


def curves(
    x: Any,
    ys: Mapping[str, Any],
    *,
    xlabel: str,
    ylabel: str,
    log: Literal["", "x", "y", "xy"] = "",
    limits: Mapping[str, Any] | None = None,
    markers: bool = False,
    caption: str,
    alt: str,
    name: str,
) -> Figure:
    """Several lines over one axis; a line of several seeds is their mean in a band of one standard deviation.

    Args:
        x: positions.
        ys: name to values, ``(positions,)`` or ``(seeds, positions)``; names of roles and methods keep their style.
        xlabel, ylabel: with units.
        log: the axes that are logarithmic.
        limits: name to values of lines that theory gives, drawn dashed.
        markers: mark the positions.
        caption: the number of seeds behind bands is added to it.
        alt, name: see `kdcore.reporting.figures.render`.
    """
    x, ys = array(x), {key: array(values) for key, values in ys.items()}
    for key, values in ys.items():
        if values.ndim not in (1, 2) or values.shape[-1:] != x.shape:
            raise ValueError(f"{key} must have shape ({len(x)},) or (seeds, {len(x)}), got {values.shape}")
    looks = styles(ys)

    def draw(canvas):
        panel = canvas.subplots()
        for key, values in ys.items():
            _line(panel, x, values, key, looks[key], markers)
        for key, values in (limits or {}).items():
            panel.plot(x, array(values), color=role("limit").colour, linestyle="--", linewidth=1.0, label=key)
        panel.set(xlabel=xlabel, ylabel=ylabel)
        if "x" in log:
            panel.set_xscale("log")
        if "y" in log:
            panel.set_yscale("log")
        if "x" not in log and (x == x.round()).all():
            panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(axis="y")
        panel.legend()

    seeds = sorted({len(values) for values in ys.values() if values.ndim == 2 and len(values) > 1})
    band = f" Bands: ±1 standard deviation, n = {ranges(seeds)} seeds." if seeds else ""
    return render(draw, caption=caption + band, alt=alt, name=name)


def _line(panel: Any, x: Any, values: Any, label: str, look: Any, markers: bool) -> None:
    several = values.ndim == 2
    mean = values.mean(0) if several else values
    every = max(1, len(x) // 12)
    marks = {"marker": look.marker, "markevery": 1 if markers else every}
    panel.plot(x, mean, color=look.colour, linestyle=look.line, label=label, **marks)
    if several and len(values) > 1:
        std = values.std(0, ddof=1)
        panel.fill_between(x, mean - std, mean + std, color=look.colour, alpha=0.2, linewidth=0)


def against_temperature(temperatures: Any, ys: Mapping[str, Any], *, ylabel: str, **options: Any) -> Figure:
    """Losses, gradients or anything else against the temperature, both axes logarithmic unless `log` says otherwise."""
    return curves(temperatures, ys, xlabel="temperature $T$", ylabel=ylabel, **{"log": "xy", "markers": True} | options)


def negative_mass(temperatures: Any, shares: Mapping[str, Any], **options: Any) -> Figure:
    """Which part of the gradient falls on the classes that are not the true one, against the temperature."""
    return against_temperature(temperatures, shares, **{"ylabel": "share on the other classes", "log": "x"} | options)


def learning_curves(
    records: Iterable[Record],
    *,
    metric: str = "accuracy",
    rows: Sequence[str] | None = None,
    caption: str,
    alt: str,
    name: str,
) -> Figure:
    """How rows learn, mean and band over seeds.

    Args:
        records: of one experiment, profile and kind of device; what does not belong together is left out and named in
            the caption, as in a table.
        metric: a test metric of each epoch, or the name of a loss term.
        rows: which to draw; all that have such a curve where None.
        caption, alt, name: see `curves`.

    Raises:
        ValueError: no record has such a curve, or seeds of a row were judged at different epochs.
    """
    found, kind = group(records), metric_of(metric)
    lines: dict[str, list[list[float]]] = {}
    epochs: list[float] = []
    for company in found.companies:
        for record in sorted(company.records, key=lambda record: record["seed"]):
            x, y = curve_of(record, metric) if record["status"] == "done" else ([], [])
            if not x or (rows is not None and company.key not in rows):
                continue
            if epochs and x != epochs:
                raise ValueError(f"row {company.key}, seed {record['seed']} was judged at other epochs than the others")
            epochs = x
            lines.setdefault(company.key, []).append([kind.scale * value for value in y])
    if not lines:
        raise ValueError(f"no record of {', '.join(rows or ()) or 'any row'} has a curve of {metric}")
    ordered = {row: lines[row] for row in rows or lines if row in lines}
    label = f"{kind.label}, {kind.unit}" if kind.unit else kind.label
    left_out = f" Left out: {'; '.join(found.notes)}." if found.notes else ""
    return curves(epochs, ordered, xlabel="epoch", ylabel=label, caption=caption + left_out, alt=alt, name=name)


def curve_of(record: Record, metric: str) -> tuple[list[float], list[float]]:
    """Epochs and values of one run; the epochs of a later stage follow those of the one before."""
    x, y, start, before = [], [], 0.0, (None, 0.0)
    for entry in record.get("curve") or ():
        stage, last = before
        start += last if entry.get("stage") != stage and stage is not None else 0.0
        before = (entry.get("stage"), entry["epoch"])
        for place in (entry.get("test") or {}, entry, entry.get("terms") or {}):
            if metric in place:
                x.append(start + entry["epoch"])
                y.append(float(place[metric]))
                break
    return x, y
