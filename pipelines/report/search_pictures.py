"""The kinds of pictures of a search: functions from plain numbers to SVG, as in `pictures`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import ticker

from pipelines.report.drawing import INK, LETTER, LINE, PAPER, SERIES, SOFT, drawing
from pipelines.report.elements import shown

_SHORT = 8  # letters of a label that fits centred below the end of an axis
_ALONG, _MOST = 46, 5  # letters along an axis, and labels at most
_BEST = {"marker": "*", "s": 190, "color": SERIES[1], "edgecolor": PAPER, "zorder": 6}


def best_so_far(
    name: str, texts: tuple[str, str], numbers: Sequence[int], scores: np.ndarray, y_label: str
) -> str:
    """Draws a point per trial, and a line of the best so far.

    Args:
        name: unique on the page.
        texts: title and description.
        numbers: of the trials, increasing.
        scores: float [trials].
        y_label: what the scores are.
    """
    with drawing(name, left=58, top=28) as picture:
        axes, best = picture.axes, int(np.argmax(scores))
        rising = np.maximum.accumulate(scores)
        axes.step(numbers, rising, where="post", color=SERIES[0], linewidth=2.4)
        axes.scatter(numbers, scores, 34, color=SERIES[0], edgecolor=PAPER, zorder=5)
        axes.scatter(numbers[best], scores[best], **_BEST)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(7, integer=True))
        _y_axis(axes)
        axes.set_title(y_label, loc="left", fontsize=11, color=SOFT, x=-0.15, pad=8)
        axes.set_xlabel("trial")
        return picture.svg(*texts)


def against(
    name: str,
    texts: tuple[str, str],
    places: np.ndarray,
    scores: np.ndarray,
    ticks: Mapping[float, str],
    began: int | None,
    curve: tuple[np.ndarray, np.ndarray] | None = None,
) -> str:
    """Draws scores by the value of one setting.

    Args:
        name: unique on the page.
        texts: title and description.
        places: float [trials], positions of the values on the axis, 0 to 1.
        scores: float [trials].
        ticks: labels by position.
        began: index of the trial with the settings that the search began with; None for none.
        curve: positions and means of a line through the points; None for no line.
    """
    with drawing(name, height=220, left=58, right=34, bottom=30) as picture:
        axes, best = picture.axes, int(np.argmax(scores))
        if curve is not None:
            axes.plot(*curve, color=SOFT, linewidth=1.8, linestyle=(0, (6, 2)))
        others = np.arange(len(scores)) != began
        axes.scatter(places[others], scores[others], 34, color=SERIES[0], edgecolor=PAPER, zorder=5)
        if began is not None:
            style = {"marker": "s", "color": INK, "edgecolor": PAPER, "zorder": 5}
            axes.scatter(places[began], scores[began], 44, **style)
        axes.scatter(places[best], scores[best], **_BEST)
        axes.set_xlim(-0.06, 1.06)
        axes.set_xticks(*_few(ticks))
        if len(axes.get_xticklabels()[-1].get_text()) > _SHORT:
            axes.get_xticklabels()[-1].set_horizontalalignment("right")
        _y_axis(axes)
        return picture.svg(*texts)


def parallel(
    name: str,
    texts: tuple[str, str],
    rows: Sequence[tuple[str, Mapping[float, str]]],
    trials: np.ndarray,
    strong: int,
) -> str:
    """Draws every trial as a line through its values: parallel coordinates, from the top.

    Args:
        name: unique on the page.
        texts: title and description.
        rows: name of each axis, from the top, and its labels by position.
        trials: float [trials, rows], where the trials cross the axes, 0 to 1, best trial first.
        strong: how many of the first trials stand out.
    """
    left = 20 + LETTER * max(len(shown(label, 22)) for label, _ in rows)
    height = 34 + 42 * len(rows)
    with drawing(name, height=height, left=left, right=30, bottom=30, top=6) as picture:
        axes, levels = picture.axes, -np.arange(len(rows))
        for number, places in reversed(list(enumerate(trials))):
            style = {"color": SERIES[0], "linewidth": 1.7, "zorder": 4}
            if number >= strong:
                style = {"color": SOFT, "linewidth": 0.7, "linestyle": (0, (4, 2)), "zorder": 3}
            if number == 0:
                style |= {"color": SERIES[1], "linewidth": 3, "zorder": 5}
            axes.plot(places, levels, **style, clip_on=False)
        axes.scatter(trials[0], levels, **_BEST, clip_on=False)
        for level, (label, ticks) in zip(levels, rows, strict=True):
            axes.axhline(level, color=LINE, linewidth=1.4, zorder=0)
            _axis(axes, level, label, ticks, left)
        axes.set_xlim(0, 1)
        axes.set_ylim(-len(rows) + 0.7, 0.3)
        axes.xaxis.set_major_locator(ticker.NullLocator())
        axes.yaxis.set_major_locator(ticker.NullLocator())
        axes.spines[["left", "bottom"]].set_visible(False)
        return picture.svg(*texts)


def _axis(axes, level, label, ticks, left):
    """Labels one axis of `parallel`."""
    away = {"textcoords": "offset points", "annotation_clip": False, "zorder": 7}
    across = axes.get_yaxis_transform()
    axes.annotate(
        shown(label, 22), (0, level), (-left + 4, 0), va="center", xycoords=across, **away
    )
    for place, word in zip(*_few(ticks), strict=True):
        side = "left" if place == 0 else "right" if place == 1 else "center"
        style = {"ha": side, "va": "top", "fontsize": 11, "color": SOFT, **away}
        style["bbox"] = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.6}
        axes.annotate(word, (place, level), (0, -6), **style)


def _few(ticks):
    """Returns positions and labels of an axis; only the ends if there are many."""
    kept = list(ticks.items())
    kept = kept if len(kept) <= _MOST else [kept[0], kept[-1]]
    longest = _ALONG // max(3, len(kept))
    return [place for place, _ in kept], [shown(word, longest) for _, word in kept]


def _y_axis(axes):
    axes.yaxis.set_major_locator(ticker.MaxNLocator(5))
    axes.grid(axis="y")
