"""The kinds of pictures on a page: functions from plain numbers to SVG."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import ticker

from pipelines.description.numbers import compact
from pipelines.report.drawing import (
    DASHES,
    INK,
    LETTER,
    LINE,
    MARKERS,
    PAPER,
    SERIES,
    SOFT,
    drawing,
)
from pipelines.report.elements import shown

_LABEL = 22  # letters of a label, at most


@dataclasses.dataclass(frozen=True)
class Interval:
    """A row of `intervals`.

    Args:
        label: text to its left.
        value: position of the mark.
        low: start of its line; None for a line from 0 to the value.
        high: end of its line.
        series: number of the series that it looks like.
        group: heading above it; rows of a group are adjacent.
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    series: int = 0
    group: str = ""


def look(series: int) -> dict:
    """Returns colour, dashes and marker of a series, for `Axes.plot`."""
    return {
        "color": SERIES[series % len(SERIES)],
        "linestyle": DASHES[series % len(DASHES)],
        "marker": MARKERS[series % len(MARKERS)],
        "linewidth": 2.4 if series == 0 else 1.8,
        "markersize": 5,
        "markeredgecolor": PAPER,
        "markeredgewidth": 0.6,
    }


def lines(
    name: str,
    texts: tuple[str, str],
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    ticks: Sequence[str] | None = None,
    mark: tuple[float, str] | None = None,
    bottom: float | None = None,
    top: float | None = None,
    bands: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
) -> str:
    """Draws curves with their names at their ends.

    Args:
        name: unique on the page.
        texts: title and description.
        curves: x and y of each, by name; the first one stands out.
        x_label: label of the x axis.
        ticks: labels at x = 0, 1, ...; None for numbers.
        mark: position of a vertical line, and its label.
        bottom: lower end of the y axis; None to fit.
        top: upper end of the y axis; None to fit.
        bands: lower and upper y around some of the curves, by name.
    """
    words = {label: shown(label, _LABEL) for label in curves}
    right = 22 + LETTER * max(map(len, words.values()), default=0)
    with drawing(name, right=right) as picture:
        axes = picture.axes
        for series, (label, (x, y)) in enumerate(curves.items()):
            every = max(1, len(x) // 8)
            axes.plot(
                x, y, **look(series), markevery=(series * every // 4, every), zorder=9 - series
            )
            if bands and label in bands:
                axes.fill_between(x, *bands[label], color=SERIES[series], alpha=0.18, linewidth=0)
        axes.grid(axis="y")
        axes.set_xlabel(x_label)
        if ticks is not None:
            axes.set_xticks(range(len(ticks)), ticks)
            axes.set_xlim(-0.3, len(ticks) - 0.7)
        else:
            axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
            if len({place for x, _ in curves.values() for place in x}) == 1:
                axes.set_xlim(axes.get_xlim()[0] - 0.5, axes.get_xlim()[1] + 0.5)
        axes.yaxis.set_major_locator(ticker.MaxNLocator(5))
        axes.set_ylim(bottom, top)
        if mark:
            axes.axvline(mark[0], color=SOFT, linestyle=(0, (4, 3)), linewidth=1, zorder=0)
            left = mark[0] > np.mean(axes.get_xlim())
            style = {"xycoords": axes.get_xaxis_transform(), "textcoords": "offset points"}
            style |= {"ha": "right" if left else "left", "fontsize": 11, "color": SOFT}
            axes.annotate(mark[1], (mark[0], 0.02), (-4 if left else 4, 0), **style)
        ends = [(x[-1], y[-1], words[label]) for label, (x, y) in curves.items() if len(x)]
        picture.label_ends(ends)
        return picture.svg(*texts)


def intervals(
    name: str,
    texts: tuple[str, str],
    rows: Sequence[Interval],
    x_label: str,
    zero: bool = False,
    digits: int = 3,
) -> str:
    """Draws values with their intervals, one per row, and their numbers on the right.

    Args:
        name: unique on the page.
        texts: title and description.
        rows: from top to bottom.
        x_label: label of the x axis.
        zero: whether 0 is a reference line, not just the start of the axis.
        digits: decimals of the numbers.
    """
    places, headings = _rows(rows)
    height = 60 + 21 * (1 + max(places, default=0))
    left = 20 + LETTER * max((len(shown(row.label, _LABEL)) for row in rows), default=0)
    with drawing(name, height=height, left=left, right=62, bottom=46, top=8) as picture:
        axes = picture.axes
        for row, place in zip(rows, places, strict=True):
            style = look(row.series)
            low, high = (0, row.value) if row.low is None else (row.low, row.high)
            axes.plot([low, high], [place] * 2, color=style["color"], linewidth=2.4)
            axes.plot(row.value, place, **{**style, "markersize": 8}, clip_on=False)
            at = (1.03, place)
            word = f"{row.value:+.{digits}f}" if zero else f"{row.value:.{digits}f}"
            word = word.replace("-", "\N{MINUS SIGN}")
            axes.annotate(word, at, xycoords=axes.get_yaxis_transform(), va="center")
        axes.set_yticks(places, [shown(row.label, _LABEL) for row in rows])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        for place, heading in headings:
            style = {"va": "center", "ha": "left", "fontweight": "bold"}
            style["bbox"] = {"facecolor": PAPER, "edgecolor": "none", "pad": 1}
            transform = axes.get_yaxis_transform()
            axes.annotate(
                shown(heading, 48), (0, place), (-left + 4, 0), xycoords=transform,
                textcoords="offset points", **style,
            )  # fmt: skip
        axes.set_ylim(max(places, default=0) + 0.8, -0.8)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(4))
        axes.grid(axis="x")
        axes.set_xlabel(x_label)
        if zero:
            axes.axvline(0, color=INK, linewidth=1.2)
        else:
            axes.set_xlim(left=0)
        return picture.svg(*texts)


def _rows(rows):
    """Returns the positions of the rows and of the headings between them."""
    places, headings, place, group = [], [], 0, ""
    for row in rows:
        if row.group != group:
            place += 0.4 if places else 0
            headings.append((place, row.group))
            place, group = place + 1, row.group
        places.append(place)
        place += 1
    return places, headings


def histogram(
    name: str,
    texts: tuple[str, str],
    edges: Sequence[int],
    counts: Sequence[int],
    x_label: str,
) -> str:
    """Draws a histogram with bins of whole numbers from `edges[i]` to `edges[i + 1] - 1`."""
    with drawing(name, height=220) as picture:
        axes = picture.axes
        axes.bar(np.arange(len(counts)) + 0.5, counts, width=0.9, color=SERIES[0])
        step, half = -(-len(counts) // 7), max(len(counts), 6) / 2
        axes.set_xlim(len(counts) / 2 - half, len(counts) / 2 + half)
        axes.set_xticks(range(0, len(counts), step), [compact(x) for x in edges[:-1:step]])
        axes.yaxis.set_major_locator(ticker.MaxNLocator(4, integer=True))
        axes.yaxis.set_major_formatter(lambda value, _: compact(value))
        axes.grid(axis="y")
        axes.set_xlabel(x_label)
        return picture.svg(*texts)


def reliability(
    name: str,
    texts: tuple[str, str],
    confidence: np.ndarray,
    accuracy: np.ndarray,
    counts: np.ndarray,
) -> str:
    """Draws accuracy by confidence, next to the diagonal of perfect calibration.

    Args:
        name: unique on the page.
        texts: title and description.
        confidence: float [bins], the mean of each bin.
        accuracy: float [bins].
        counts: int [bins], predictions in each bin, at least 1; sets the size of the mark.
    """
    with drawing(name, height=330) as picture:
        axes = picture.axes
        axes.plot([0, 1], [0, 1], color=SOFT, linestyle=(0, (4, 3)), linewidth=1.2)
        axes.annotate(
            "perfectly calibrated", (0.04, 0.04), (0, 10), textcoords="offset points",
            rotation=41, rotation_mode="anchor", fontsize=11, color=SOFT,
        )  # fmt: skip
        axes.plot(confidence, accuracy, color=SERIES[0], linewidth=1.6)
        areas = 20 + 260 * counts / counts.max()
        axes.scatter(confidence, accuracy, areas, color=SERIES[0], edgecolor=PAPER, zorder=3)
        share = counts / counts.sum()
        axes.bar(confidence, 0.16 * share / share.max(), width=0.03, color=LINE, zorder=0)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.04)
        axes.grid()
        axes.set_xlabel("confidence")
        axes.set_ylabel("accuracy")
        return picture.svg(*texts)


def lanes(
    name: str,
    texts: tuple[str, str],
    rows: Sequence[tuple[str, np.ndarray, np.ndarray, int]],
    length: int,
) -> str:
    """Draws weights over a history, one lane above the other, the newest event on the right.

    Args:
        name: unique on the page.
        texts: title and description.
        rows: each a label, the positions of its events (0 is the newest), their weights in [0, 1]
            and the number of its series.
        length: number of events in the history.
    """
    left = 20 + LETTER * max(len(shown(row[0], 18)) for row in rows)
    height = 56 + 46 * len(rows)
    with drawing(name, height=height, left=left, right=26, top=6) as picture:
        axes = picture.axes
        for lane, (word, places, weights, series) in enumerate(rows):
            base, color = -lane, SERIES[series % len(SERIES)]
            axes.axhline(base, color=LINE, linewidth=1)
            if len(places):
                axes.vlines(-places, base, base + 0.8 * weights, color=color, linewidth=4)
                marker = MARKERS[series % len(MARKERS)]
                axes.plot(-places, np.full(len(places), base), marker, color=color, markersize=4)
            axes.annotate(
                shown(word, 18), (0, base + 0.3), (-left + 4, 0), va="center",
                xycoords=axes.get_yaxis_transform(), textcoords="offset points",
            )  # fmt: skip
        axes.set_ylim(-len(rows) + 0.75, 0.95)
        axes.set_xlim(-length + 0.4, 0.9)
        axes.yaxis.set_major_locator(ticker.NullLocator())
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
        axes.xaxis.set_major_formatter(lambda value, _: "newest" if value == 0 else f"{-value:.0f}")
        axes.set_xlabel("events before the newest")
        return picture.svg(*texts)
