"""What a page is made of: sections of tables, pictures, facts and sentences.

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
        text: what stands in it.
        bar: length of a bar below the text, 0 to 1; None for none.
        heat: how strongly the cell is tinted, 0 to 1.
        strong: whether it stands out.
        note: small print behind the text.
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
        columns: headings, that of the first column included.
        rows: cells, or strings and numbers that become cells.
        words: whether all columns hold words, to stand on the left.
        folded: whether it is shown only when it is asked for.
    """

    kind: ClassVar[str] = "table"

    caption: str
    columns: list[str]
    rows: list[list]
    words: bool = False
    folded: bool = False

    def cells(self) -> list[list[Cell]]:
        """The rows as `Cell`s."""
        return [[x if isinstance(x, Cell) else Cell(str(x)) for x in row] for row in self.rows]


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture, the sentence that says what is seen, and its numbers as a table.

    Args:
        title: what it shows.
        svg: the markup, from `drawing`.
        sentence: computed from the numbers.
        table: the alternative for those who do not see the picture.
    """

    title: str
    svg: str
    sentence: str
    table: Table


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Pictures beside each other where there is room."""

    kind: ClassVar[str] = "pictures"

    pictures: list[Picture]


@dataclasses.dataclass(frozen=True)
class Paragraph:
    """Sentences."""

    kind: ClassVar[str] = "paragraph"

    text: str


@dataclasses.dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    kind: ClassVar[str] = "heading"

    text: str


@dataclasses.dataclass(frozen=True)
class Code:
    """Something to type, as it is."""

    kind: ClassVar[str] = "code"

    text: str


@dataclasses.dataclass(frozen=True)
class Tiles:
    """A few numbers that stand out: (number, what it is, small print)."""

    kind: ClassVar[str] = "tiles"

    tiles: list[tuple[str, str, str]]


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page.

    Args:
        name: its anchor, unique on the page.
        title: its heading.
        blocks: any of the above.
    """

    name: str
    title: str
    blocks: list


def shown(name: object, longest: int = _LONGEST) -> str:
    """A name from a log as it may stand anywhere: in one line, of some length, for XML, too."""
    text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(name))
    text = "".join("\N{REPLACEMENT CHARACTER}" if _turns(letter) else letter for letter in text)
    if len(text) <= longest:
        return text
    return f"{text[: longest // 2]}…{text[longest // 2 + 1 - longest :]}"


def _turns(letter):
    """Whether it changes the direction of the text that follows it."""
    return unicodedata.bidirectional(letter) in {"LRE", "RLE", "LRO", "RLO", "PDF"} | {
        *("LRI", "RLI", "FSI", "PDI")
    }


def number(value: float, digits: int = 4) -> str:
    """E.g. `0.5140`; a dash for what there is not."""
    return "–" if value is None or value != value else f"{value:,.{digits}f}"


def percent(share: float | None) -> str:
    """E.g. `51.4 %`."""
    return (
        "–"
        if share is None or share != share
        else f"{share:.1%}".replace("%", "\N{NO-BREAK SPACE}%")
    )


def listed(names: list[str]) -> str:
    """E.g. `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
