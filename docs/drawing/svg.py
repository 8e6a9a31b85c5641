"""Draws SVG pictures for light and dark mode, without external fonts or scripts."""

from __future__ import annotations

from html import escape

# Blue, orange and green that colour-blind readers can distinguish on both backgrounds.
STYLE = """
:root { --paper: #ffffff; --ink: #1f2933; --soft: #5b6773; --line: #9aa5b1; --panel: #f3f6f9;
  --box: #ffffff; --edge: #b8c2cc; --shared: #e3f4f1; --shared-edge: #0f9d8a; --view: #1f77b4;
  --cart: #d97706; --buy: #15803d; --tint: .13; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #1b2027; --ink: #e6ebf0; --soft: #a7b3bf; --line: #77838f; --panel: #242b34;
    --box: #2e3742; --edge: #56626f; --shared: #17403c; --shared-edge: #36c2ad; --view: #6db3e8;
    --cart: #f5a742; --buy: #5fca86; --tint: .24; } }
text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial,
  sans-serif; font-size: 13px; fill: var(--ink); }
.small { font-size: 11.5px; fill: var(--soft); } .strong { font-weight: 600; }
.title { font-size: 14px; font-weight: 600; } .middle { text-anchor: middle; }
.end { text-anchor: end; } .math { font-style: italic; } .step { font-size: 12.5px; }
.paper { fill: var(--paper); } .panel { fill: var(--panel); }
.box { fill: var(--box); stroke: var(--edge); }
.shared { fill: var(--shared); stroke: var(--shared-edge); }
.line { fill: none; stroke: var(--line); stroke-width: 1.6; }
.skip { fill: none; stroke: var(--line); stroke-width: 1.6; stroke-dasharray: 5 4; }
.head { fill: var(--line); } .grid { fill: none; stroke: var(--edge); stroke-width: .7; }
.view { fill: var(--view); stroke: var(--view); } .cart { fill: var(--cart); stroke: var(--cart); }
.buy { fill: var(--buy); stroke: var(--buy); } .hmar { fill: var(--shared-edge); }
.rest { fill: var(--line); } .seen { fill: var(--soft); stroke: var(--soft); }
.tint { fill-opacity: var(--tint); } text.view, text.cart, text.buy { stroke: none; }
"""


class Picture:
    """An SVG picture of shapes and text, placed in pixels from the upper left corner.

    Args:
        width: width of the picture.
        height: height of the picture.
        title: what the picture is, for screen readers.
        description: what the picture shows, for screen readers.
    """

    def __init__(self, width: float, height: float, title: str, description: str):
        self._width, self._height = width, height
        self._parts = [
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="description">{escape(description)}</desc>',
            f"<style>{STYLE}</style>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path class="head" d="M0 0.5 8 4 0 7.5z"/></marker>'
            "</defs>",
        ]
        self.box(0, 0, width, height, "paper", 10)

    def box(self, x, y, width, height, kind="box", corner=6.0):
        """Draws a rectangle."""
        self._parts.append(
            f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" '
            f'rx="{corner:g}"/>'
        )

    def words(self, x, y, text, kind=""):
        """Draws a line of text with its baseline at y."""
        self._parts.append(f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>')

    def labelled(self, x, y, width, height, text, note="", kind="box"):
        """Draws a rectangle with a name in its middle and an optional smaller line below."""
        self.box(x, y, width, height, kind)
        center, middle = x + width / 2, y + height / 2
        self.words(center, middle + (-3 if note else 4.5), text, "middle")
        if note:
            self.words(center, middle + 13, note, "middle small")

    def circle(self, x, y, radius, text=""):
        """Draws a circle with a sign in it."""
        self._parts.append(f'<circle class="box" cx="{x:g}" cy="{y:g}" r="{radius:g}"/>')
        self.words(x, y + 5, text, "middle title")

    def arrow(self, *points, kind="line", head=True):
        """Draws straight lines from point to point, with a head at the last one."""
        path = "M" + " ".join(f"{x:g} {y:g}" for x, y in points)
        marker = ' marker-end="url(#head)"' if head else ""
        self._parts.append(f'<path class="{kind}" d="{path}"{marker}/>')

    def __str__(self) -> str:
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self._width:g} '
            f'{self._height:g}" width="{self._width:g}" height="{self._height:g}" role="img" '
            'aria-labelledby="title description">'
        )
        return "\n".join([head, *self._parts, "</svg>", ""])
