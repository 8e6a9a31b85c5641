"""A sheet of small panels that shows what is in a dataset, as a PNG.

It touches no global state of matplotlib and needs no display.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from matplotlib import ticker
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pipelines.description.numbers import DISTINCT, Description, compact, counted
from pipelines.runtime.errors import InputError

WIDTH, HEIGHT = 1600, 1400  # pixels
_SIZE = (WIDTH, HEIGHT)
_DPI = 100
_INK, _SOFT, _NEUTRAL, _GRID = "#222222", "#5f5f5f", "#9a9a9a", "#dddddd"
# Okabe and Ito's palette, which colour-blind readers can distinguish; labels and dashes help, too.
_TARGET = "#0072b2"
_OTHERS = ("#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000")
_DASHES = ((0, (5, 2)), (0, (1, 1.2)), (0, (7, 2, 1.5, 2)), (0, (3, 1.5)), "solid", (0, (9, 3)))
_MARK = {"color": _INK, "linestyle": (0, (4, 2)), "linewidth": 1.6}
_WIDE = 50  # above this ratio of counts, their axis is logarithmic
_LONGEST_NAME = 15
_DATE_PARTS = {  # slices of 2024-12-31T23:59:59
    **{"second": slice(11, 19), "minute": slice(5, 16), "hour": slice(5, 16)},
    **{"day": slice(10), "week": slice(10), "month": slice(7), "year": slice(4)},
}
# Places of the panels: left, top, width, height in pixels from the top left corner.
_LEFT, _MIDDLE, _RIGHT = 40, 560, 1080
_BEHAVIORS, _BEFORE, _TIES = ((x, 130, 480, 370) for x in (_LEFT, _MIDDLE, _RIGHT))
_PER_USER, _TARGETS, _POPULARITY = ((x, 545, 480, 380) for x in (_LEFT, _MIDDLE, _RIGHT))
_TIMELINE = (_LEFT, 970, 1310, 405)


def draw(description: Description, path: str | os.PathLike) -> None:
    """Draws a description.

    Args:
        description: the result of `numbers.describe`.
        path: path of the PNG; it appears when it is complete and replaces an existing file.

    Raises:
        InputError: if it cannot be written.
    """
    figure = Figure((WIDTH / _DPI, HEIGHT / _DPI), _DPI, facecolor="white")
    looks = _looks(description)
    _header(figure, description)
    _behaviors(figure, description, looks)
    _before(figure, description, looks)
    _ties(figure, description)
    _per_user(figure, description)
    _targets_per_user(figure, description)
    _popularity(figure, description)
    _timeline(figure, description, looks)
    _save(figure, Path(path))


def check_place(path: str | os.PathLike) -> None:
    """Checks, before any work is done, that a picture can be written.

    Raises:
        InputError: if its name does not end in .png or it cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise InputError(f"{path} is not a PNG; give the picture a name that ends in .png.")
    if path.is_dir():
        raise InputError(f"{path} is a directory; name a file for the picture.")
    temporary = _temporary(path)
    try:
        temporary.touch()
        temporary.unlink()
    except OSError as error:
        raise _not_writable(path, error) from error


def _save(figure, path):
    temporary = _temporary(path)
    try:
        FigureCanvasAgg(figure).print_png(temporary)
        temporary.replace(path)
    except OSError as error:
        raise _not_writable(path, error) from error
    finally:
        if temporary.exists():
            temporary.unlink()


def _temporary(path):
    return path.with_name(f".{path.name}.{os.getpid()}")


def _not_writable(path, error):
    return InputError(f"{path} cannot be written ({error.strerror}); choose another path.")


def _looks(description):
    """Returns the colours and dashes of the behaviours shown: the target and the most frequent."""
    counts = description.events_by_behavior
    others = [name for name in counts if name != description.target]
    shown = set(sorted(others, key=counts.get, reverse=True)[: len(_OTHERS)])
    styles = zip(_OTHERS, _DASHES, strict=True)
    looks = {name: next(styles) for name in counts if name in shown}
    looks[description.target] = (_TARGET, "solid")
    return {name: looks[name] for name in counts if name in looks}


def _header(figure, description):
    left, timeline = _LEFT / WIDTH, description.timeline
    name = _short(description.name, 60)
    figure.text(left, 0.982, name, fontsize=28, fontweight="bold", color=_INK, va="top")
    span = f"times {timeline.first} to {timeline.last}, unit unknown"
    if timeline.unit:
        span = f"{timeline.first_date[:10]} to {timeline.last_date[:10]}"
    asked = description.evaluation
    facts = (
        counted(description.users, "user"),
        counted(description.items, "item"),
        counted(description.events, "event"),
        f"target {_short(description.target)}",
        "no test questions" if asked.problem else counted(asked.test, "test question"),
        span,
    )
    figure.text(left, 0.942, "  ·  ".join(facts), fontsize=14.5, color=_SOFT, va="top")


def _behaviors(figure, description, looks):
    counts = [description.events_by_behavior[name] for name in looks]
    wide = max(counts) > _WIDE * min((count for count in counts if count), default=1)
    hidden = len(description.events_by_behavior) - len(looks)
    notes = ["* the target"]
    notes += ["log scale"] if wide else []
    notes += [f"without the {hidden} rarest"] if hidden else []
    axes = _panel(figure, _BEHAVIORS, "Events by behaviour", "; ".join(notes), 150, 10)
    names = [f"{_short(name)}*" if name == description.target else _short(name) for name in looks]
    labels = [f"{count:,}  ({count / description.events:.1%})" for count in counts]
    _bars(axes, names, counts, labels, [color for color, _ in looks.values()], log=wide)


def _before(figure, description, looks):
    target, repeats = _short(description.target), description.repeats
    note = f"same user, same item; share of {target} events"
    axes = _panel(figure, _BEFORE, f"What came before {target}", note, 150, 10)
    if repeats.rate is None:
        axes.axis("off")
        axes.text(0, 0.8, f"no {target} events", fontsize=14, color=_INK)
        return
    names = ["nothing", "any event", *map(_short, looks)]
    shares = [1 - repeats.rate, repeats.rate, *(repeats.preceded_by[name] for name in looks)]
    colors = [_NEUTRAL, _INK, *(color for color, _ in looks.values())]
    _bars(axes, names, shares, [f"{share:.1%}" for share in shares], colors, room=1.3)


def _ties(figure, description):
    ties = description.ties
    note = f"{ties.rate:.1%} of events tie with another of the same user"
    axes = _panel(figure, _TIES, "Ties", note, 150, 10)
    shares = [count / description.events for count in ties.group_sizes.values()]
    names = [name if name == "alone" else f"{name} at once" for name in ties.group_sizes]
    names = [name.replace("-", "–") for name in names]
    colors = [_NEUTRAL, *[_INK] * (len(names) - 1)]
    _bars(axes, names, shares, [f"{share:.1%}" for share in shares], colors, room=1.3)


def _per_user(figure, description):
    numbers = description.events_per_user
    axes = _panel(figure, _PER_USER, "Events per user", _spread(numbers))
    _histogram(axes, numbers, _NEUTRAL)


def _targets_per_user(figure, description):
    numbers, target = description.targets_per_user, _short(description.target)
    axes = _panel(figure, _TARGETS, f"Events per user: {target}", _spread(numbers))
    _histogram(axes, numbers, _TARGET)


def _spread(numbers):
    quantiles = numbers.quantiles
    middle, low, high = (compact(quantiles[name]) for name in ("50%", "10%", "90%"))
    return f"median {middle}; the middle 80% of users from {low} to {high}"


def _histogram(axes, numbers, color):
    """Draws bins side by side: a log axis with a place for 0."""
    edges, counts = np.array(numbers.edges), numbers.counts
    axes.bar(np.arange(len(counts)) + 0.5, counts, width=0.92, color=color)
    half = max(len(counts), 6) / 2  # so that a few bins do not fill the panel
    axes.set_xlim(len(counts) / 2 - half, len(counts) / 2 + half)
    axes.set_ylim(0, 1.2 * max(counts))

    def place(number):  # a whole number fills the space up to the next one
        return np.interp(number + 0.5, edges, np.arange(len(edges)))

    octaves = [edge for edge in numbers.edges[:-1] if edge.bit_count() <= 1] or edges[:1]
    octaves = octaves[:: -(-len(octaves) // 9)]
    axes.set_xticks([place(edge) for edge in octaves], [compact(edge) for edge in octaves])
    axes.axvline(place(numbers.quantiles["50%"]), **_MARK)
    _note_line(axes, place(numbers.quantiles["50%"]), "median")
    axes.yaxis.set_major_locator(ticker.MaxNLocator(4, integer=True))
    _value_axis(axes)
    axes.set_xlabel("events (log scale)", fontsize=13, color=_SOFT)
    axes.set_ylabel("users", fontsize=13, color=_SOFT)


def _popularity(figure, description):
    top = description.top_items
    note = f"top 1% of items: {top['1%']:.1%} of events; top 10%: {top['10%']:.1%}"
    axes = _panel(figure, _POPULARITY, "Item popularity", note)
    ranks, counts = np.array([point for point in description.popularity if point[1]]).T
    axes.loglog(ranks, counts, color=_INK, linewidth=2.4, marker="o" if len(ranks) < 5 else "")
    axes.fill_between(ranks, counts, 0.7, color=_GRID)
    axes.set_xlim(0.9, max(description.items, 10) * 1.1)
    axes.set_ylim(0.7, max(counts[0], 10) * 2)
    if description.items >= 100:
        for percent in (1, 10):
            axes.axvline(description.items * percent / 100, **_MARK)
            _note_line(axes, description.items * percent / 100, f"{percent}%")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: compact(value))
        axis.set_minor_locator(ticker.NullLocator())
    axes.set_xlabel("rank of the item", fontsize=13, color=_SOFT)
    axes.set_ylabel("events", fontsize=13, color=_SOFT)


def _timeline(figure, description, looks):
    timeline = description.timeline
    series = {name: np.array(timeline.events[name]) for name in looks}
    usual = [np.median(counts[counts > 0]) for counts in series.values() if counts.any()]
    wide = max(counts.max() for counts in series.values()) > _WIDE * min(usual)
    note = _time_note(timeline) + ("; log scale" if wide else "")
    axes = _panel(figure, _TIMELINE, "Events over time", note)
    places = _time_axis(axes, timeline)
    for name in sorted(looks, key=description.events_by_behavior.get, reverse=True):
        color, dashes = looks[name]
        style = {"marker": "o", "markersize": 6} if len(places) < 25 else {}
        style |= {"color": color, "linestyle": dashes, "linewidth": 2.2}
        axes.plot(places, series[name], label=_short(name), **style)
    if not wide:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    elif all(counts.all() for counts in series.values()):
        axes.set_yscale("log")
    else:
        axes.set_yscale("symlog", linthresh=1)  # which has a place for 0
        axes.set_ylim(bottom=0)
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.margins(x=0.01)
    _value_axis(axes)
    beside = {"loc": "upper left", "bbox_to_anchor": (1.005, 1.03), "labelspacing": 0.7}
    axes.legend(fontsize=13, handlelength=2.4, frameon=False, **beside)


def _time_note(timeline):
    if timeline.unit:
        cut = f"; the first and the last {timeline.bin} may be incomplete"
        return f"events per {timeline.bin} (UTC){cut if len(timeline.starts) > 2 else ''}"
    if timeline.bin == DISTINCT:
        return "events at each time that occurs; the unit of the numbers is unknown"
    return "events in equal ranges of the source's own numbers, whose unit is unknown"


def _time_axis(axes, timeline):
    """Returns the places of the bins, and sets up as many ticks as there is room for."""
    labels = [str(start) for start in timeline.starts]
    if timeline.unit:
        starts = np.array(timeline.starts).astype(f"datetime64[{timeline.unit}]")
        part = _DATE_PARTS[timeline.bin]
        labels = [label[part].replace("T", " ") for label in np.datetime_as_string(starts, "s")]
    places = np.arange(len(labels))
    most = 1200 // (40 + 12 * max(map(len, labels)))
    ticks = places[:: -(-len(places) // most)]
    axes.set_xticks(ticks, [labels[row] for row in ticks])
    return places


def _panel(figure, place, title, subtitle, margin=75, foot=50):
    """Adds axes below a title, with room for labels on their left and below."""
    left, top, width, height = place
    text = {"x": left / WIDTH, "va": "top"}
    figure.text(y=1 - top / HEIGHT, s=title, fontsize=17, fontweight="bold", color=_INK, **text)
    figure.text(y=1 - (top + 31) / HEIGHT, s=subtitle, fontsize=12.5, color=_SOFT, **text)
    inner = (left + margin, HEIGHT - top - height + foot, width - margin, height - foot - 70)
    axes = figure.add_axes([pixels / of for pixels, of in zip(inner, 2 * _SIZE, strict=True)])
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_NEUTRAL)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=13, labelcolor=_INK, color=_NEUTRAL)
    return axes


def _bars(axes, names, values, labels, colors, room=1.9, log=False):
    """Draws horizontal bars, the first on top, each with its label instead of an axis."""
    rows, end = np.arange(len(names)), max(values)
    axes.barh(rows, values, color=colors, height=0.68)
    if log:
        axes.set_xscale("log")
        axes.set_xlim(0.5, 0.5 * (2 * end) ** room)
    else:
        axes.set_xlim(0, room * end)
    axes.set_ylim(max(len(names), 5) - 0.5, -0.5)
    axes.set_yticks(rows, names)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(ticker.NullLocator())
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.spines["bottom"].set_visible(False)
    style = {"textcoords": "offset points", "va": "center", "fontsize": 13, "color": _INK}
    for row, value, label in zip(rows, values, labels, strict=True):
        axes.annotate(label, (max(value, 0.5) if log else value, row), (6, 0), **style)


def _value_axis(axes):
    axes.yaxis.set_major_formatter(lambda value, _: compact(value))
    axes.grid(axis="y", color=_GRID)


def _note_line(axes, place, text):
    """Writes a word at the top of a vertical line, to its right."""
    style = {"textcoords": "offset points", "va": "top", "fontsize": 12, "color": _INK}
    axes.annotate(text, (place, 1), (4, 0), xycoords=axes.get_xaxis_transform(), **style)


def _short(name, longest=_LONGEST_NAME):
    cut = f"{name[: longest // 2]}…{name[longest // 2 + 1 - longest :]}"
    return _plain(name if len(name) <= longest else cut)


def _plain(text):
    return text.replace("$", r"\$")  # matplotlib would read a formula between two of them
