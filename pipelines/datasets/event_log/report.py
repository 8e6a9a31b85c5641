"""A report on what happened to the rows of a log."""

from __future__ import annotations

import dataclasses

from rich import box
from rich.table import Table
from rich.text import Text

from pipelines.runtime.printable import printable


@dataclasses.dataclass(frozen=True)
class Dropped:
    """Events left out for one reason.

    Args:
        reason: e.g. `"duplicate"`.
        events: number of events.
        example: where the first of them is, if known.
    """

    reason: str
    events: int
    example: str | None = None


@dataclasses.dataclass(frozen=True)
class PreparationReport:
    """What was read, what was dropped and why, and what was kept.

    Args:
        files: number of files.
        read: rows (of nested logs: events) in them.
        dropped: reasons, in the order in which they apply.
        events: events kept.
        users: users kept.
        items: items kept.
        behaviors: kept events by behaviour, weak to strong.
        target: the behaviour to predict.
        inferred_order: whether the order of the behaviours was inferred from their frequencies.
        repeats: whether items that a user already knows may be answers.
    """

    files: int
    read: int
    dropped: tuple[Dropped, ...]
    events: int
    users: int
    items: int
    behaviors: dict[str, int]
    target: str
    inferred_order: bool
    repeats: bool

    def to_dict(self) -> dict:
        """Returns the report as JSON-compatible values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> PreparationReport:
        """Creates a report from the result of `to_dict`."""
        dropped = tuple(Dropped(**each) for each in values["dropped"])
        return cls(**{**values, "dropped": dropped})


def report_table(report: PreparationReport) -> Table:
    """Returns the report as a table for the terminal."""
    rows = "rows" if report.files == 1 else f"rows in {report.files:,} files"
    table = Table(title="the log", title_justify="left", box=box.SIMPLE, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    table.add_row("read", f"{report.read:,}", rows)
    for dropped in report.dropped:
        where = Text(f"first: {printable(dropped.example)}" if dropped.example else "")
        table.add_row(f"dropped: {dropped.reason}", f"{dropped.events:,}", where)
    table.add_row(
        "kept", f"{report.events:,}", f"events of {report.users:,} users on {report.items:,} items"
    )
    order = "weak to strong, inferred from frequency" if report.inferred_order else "weak to strong"
    for place, (name, events) in enumerate(report.behaviors.items()):
        notes = [order] if place == 0 and len(report.behaviors) > 1 else []
        notes += ["target"] if name == report.target else []
        table.add_row(Text(f"  {printable(name)}"), f"{events:,}", "; ".join(notes))
    known = "may" if report.repeats else "are not"
    verb = "be answers" if report.repeats else "answers"
    table.caption = f"Items that a user already knows {known} {verb}."
    table.caption_justify = "left"
    return table
