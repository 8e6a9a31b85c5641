"""The elements of a page: sections of tables, pictures, tiles and sentences.

All text is plain; the template escapes it. Only `Picture.svg` is markup.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from typing import ClassVar

_LONGEST = 60
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclasses.dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Args:
        text: its text.
        bar: length of the bar below the text, 0 to 1; None for no bar.
        heat: how strongly the cell is tinted, 0 to 1; None for no tint.
        strong: whether the text is bold.
        note: small print after the text.
    """

    text: str
    bar: float | None = None
    heat: float | None = None
    strong: bool = False
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table whose first column names its rows.

    Args:
        caption: what it shows.
        columns: headings, including that of the first column.
        rows: cells, or strings and numbers that become cells.
        words: whether all columns hold words, which are left-aligned.
        folded: whether it is collapsed until the reader opens it.
    """

    kind: ClassVar[str] = "table"

    caption: str
    columns: list[str]
    rows: list[list]
    words: bool = False
    folded: bool = False

    def cells(self) -> list[list[Cell]]:
        """Returns the rows as `Cell`s."""
        return [[x if isinstance(x, Cell) else Cell(str(x)) for x in row] for row in self.rows]


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture, a sentence that describes it, and its numbers as a table.

    Args:
        title: what it shows.
        svg: the markup, from `drawing`.
        sentence: computed from the numbers.
        table: the alternative for readers who cannot see the picture.
    """

    title: str
    svg: str
    sentence: str
    table: Table


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Pictures, side by side where there is room."""

    kind: ClassVar[str] = "pictures"

    pictures: list[Picture]


@dataclasses.dataclass(frozen=True)
class Paragraph:
    """A paragraph of text."""

    kind: ClassVar[str] = "paragraph"

    text: str


@dataclasses.dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    kind: ClassVar[str] = "heading"

    text: str


@dataclasses.dataclass(frozen=True)
class Code:
    """A command to copy."""

    kind: ClassVar[str] = "code"

    text: str


@dataclasses.dataclass(frozen=True)
class Tiles:
    """A few headline numbers: (number, label, small print)."""

    kind: ClassVar[str] = "tiles"

    tiles: list[tuple[str, str, str]]


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page.

    Args:
        name: its anchor, unique on the page.
        title: its heading.
        blocks: any of the elements above.
    """

    name: str
    title: str
    blocks: list


def shown(name: object, longest: int = _LONGEST) -> str:
    """Makes a name from a log safe to show: on one line, not too long, and valid in XML."""
    text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(name))
    text = "".join("\N{REPLACEMENT CHARACTER}" if _turns(letter) else letter for letter in text)
    if len(text) <= longest:
        return text
    return f"{text[: longest // 2]}…{text[longest // 2 + 1 - longest :]}"


def _turns(letter):
    """Tells whether a letter changes the direction of the text that follows it."""
    return unicodedata.bidirectional(letter) in {"LRE", "RLE", "LRO", "RLO", "PDF"} | {
        *("LRI", "RLI", "FSI", "PDI")
    }


def number(value: float, digits: int = 4) -> str:
    """Formats a number, e.g. `0.5140`; a dash if there is none."""
    return "–" if value is None or value != value else f"{value:,.{digits}f}"


def percent(share: float | None) -> str:
    """Formats a share, e.g. `51.4 %`; a dash if there is none."""
    return (
        "–"
        if share is None or share != share
        else f"{share:.1%}".replace("%", "\N{NO-BREAK SPACE}%")
    )


def listed(names: list[str]) -> str:
    """Joins names, e.g. `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
