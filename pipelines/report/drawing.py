"""SVG pictures drawn by matplotlib, in the colours and fonts of the page around them.

Text stays text. Placeholder colours become CSS variables, so that a picture follows the page into
dark mode and print. A picture is about as wide as a phone; its units are pixels.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from xml.etree import ElementTree

import matplotlib
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

WIDTH, HEIGHT = 380, 260
LETTER = 6.6  # pixels; upper bound of the mean width
INK, SOFT, LINE, PAPER = "#010101", "#020202", "#030303", "#040404"
_VARIABLES = {INK: "--ink", SOFT: "--soft", LINE: "--line", PAPER: "--paper"}
SERIES = tuple(f"#1000{number:02x}" for number in range(8))
_VARIABLES.update({color: f"--series-{number}" for number, color in enumerate(SERIES)})
# Distinguish lines without colour.
DASHES = ("solid", (0, (6, 2)), (0, (1.2, 1.6)), (0, (7, 2, 1.5, 2)), (0, (3, 1.2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SIGNS = ("●", "■", "▲", "◆", "▼", "✚", "✖", "★")  # the markers, as text

_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "page",
    "text.parse_math": False,
    "font.size": 12,
    "text.color": INK,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.8,
    "axes.unicode_minus": True,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
}
_LABEL_GAP = 14.5
_NAMESPACE = re.compile(r"^\{[^}]*\}")
_REFERENCE = re.compile(r"url\(#([^)]*)\)")
_DECIMALS = re.compile(r"(\d+\.\d\d)\d+")
_COLOR = re.compile("|".join(_VARIABLES))
_HREF = "{http://www.w3.org/1999/xlink}href"


class Drawing:
    """A picture with one pair of axes.

    Args:
        name: prefix of its ids, unique on the page.
        width: in pixels.
        height: in pixels.
        left: margin between the border and the axes, in pixels, as are the other three.
    """

    def __init__(self, name, width=WIDTH, height=HEIGHT, left=46, right=14, top=12, bottom=44):
        self.name, self.width, self.height = name, width, height
        self.figure = Figure((width / 72, height / 72), 72)  # a point is a pixel
        self.figure.patch.set_visible(False)
        inner = (left, bottom, width - left - right, height - top - bottom)
        over = (width, height, width, height)
        self.axes = self.figure.add_axes([x / y for x, y in zip(inner, over, strict=True)])
        self.axes.patch.set_visible(False)
        self.axes.set_axisbelow(True)
        self.axes.spines[["top", "right"]].set_visible(False)

    def label_ends(self, ends: list[tuple[float, float, str]]) -> None:
        """Labels the ends of lines to the right of the axes, without overlaps.

        Args:
            ends: x and y of each end, in data units, and its label.
        """
        if not ends:
            return
        places = self.axes.transData.transform([(x, y) for x, y, _ in ends])
        box = self.axes.get_window_extent()
        wanted = np.clip(places[:, 1], box.y0, box.y1)
        levels = spread(wanted, _LABEL_GAP, box.y0 - 4, box.y1 + 2)
        for (x, y), level, (_, _, word) in zip(places, levels, ends, strict=True):
            line = ([x + 3, box.x1 + 7], [y, level])
            scaled = [np.array(v) / size for v, size in zip(line, self._size, strict=True)]
            self.figure.add_artist(Line2D(*scaled, color=LINE, linewidth=0.9))
            at = (box.x1 + 10) / self.width, level / self.height
            self.figure.text(*at, word, va="center", fontsize=12)

    @property
    def _size(self):
        return self.width, self.height

    def svg(self, title: str, description: str) -> str:
        """Returns the markup, to be embedded in HTML.

        Args:
            title: what the picture shows.
            description: what can be seen in it, for screen readers.
        """
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(self.figure).print_svg(buffer, metadata=nothing)
        root = ElementTree.fromstring(buffer.getvalue())
        _clean(root, self.name)
        labels = {"title": title, "desc": description}
        for place, (tag, text) in enumerate(labels.items()):
            element = ElementTree.Element(tag, {"id": f"{self.name}-{tag}"})
            element.text = text
            root.insert(place, element)
        view = {"viewBox": f"0 0 {self.width} {self.height}", "class": "drawing", "role": "img"}
        view["aria-labelledby"] = " ".join(f"{self.name}-{tag}" for tag in labels)
        root.attrib.clear()
        root.attrib.update(view)
        return ElementTree.tostring(root, encoding="unicode")


@contextlib.contextmanager
def drawing(name: str, **layout) -> Iterator[Drawing]:
    """Opens a `Drawing`; draw on it and call its `svg()` within the block."""
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        # The browser draws the text, in a font that has the glyph.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield Drawing(name, **layout)


def spread(wanted, gap: float, low: float, high: float) -> np.ndarray:
    """Moves numbers at least `gap` apart, as little as possible, within the bounds if they fit.

    Args:
        wanted: float [numbers].
        gap: minimum distance.
        low: lower bound.
        high: upper bound.

    Returns:
        float [numbers], in the order of `wanted`.
    """
    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(len(order))
    # Minus the steps, "at least `gap` apart" means "non-decreasing": isotonic regression.
    blocks = []
    for value in np.asarray(wanted, float)[order] - steps:
        blocks.append([value, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (one, some), (other, more) = blocks.pop(-2), blocks.pop()
            blocks.append([(one * some + other * more) / (some + more), some + more])
    level = np.concatenate([np.full(count, value) for value, count in blocks])
    level = np.clip(level, low, max(low, high - steps[-1]))
    result = np.empty(len(order))
    result[order] = level + steps
    return result


def _clean(root, name):
    """Removes metadata, styles and unused ids, and makes the other ids unique on the page."""
    for parent in root.iter():
        parent.tag = _NAMESPACE.sub("", parent.tag)
        for child in list(parent):
            if _NAMESPACE.sub("", child.tag) in ("metadata", "style"):
                parent.remove(child)
    used = set()
    for element in root.iter():
        if _HREF in element.attrib:
            element.set("href", element.attrib.pop(_HREF))
            used.add(element.get("href")[1:])
        used.update(_REFERENCE.findall(element.get("clip-path", "")))
    for element in root.iter():
        _rename(element, name, used)
        if "style" in element.attrib:
            element.set("style", _style(element.get("style")))
        for attribute in ("d", "x", "y", "transform"):
            if attribute in element.attrib:
                text = " ".join(element.get(attribute).split())
                element.set(attribute, _DECIMALS.sub(r"\1", text))
        if element.text and not element.text.strip():
            element.text = None
        element.tail = None


def _rename(element, name, used):
    own = element.attrib.pop("id", None)
    if own in used:
        element.set("id", f"{name}-{own}")
    if "href" in element.attrib:
        element.set("href", f"#{name}-{element.get('href')[1:]}")
    if "clip-path" in element.attrib:
        element.set("clip-path", _REFERENCE.sub(rf"url(#{name}-\1)", element.get("clip-path")))


def _style(text):
    parts = [part.strip() for part in text.split(";")]
    kept = [part for part in parts if part and not part.startswith("font-family")]
    return _COLOR.sub(lambda found: f"var({_VARIABLES[found[0]]})", "; ".join(kept))
