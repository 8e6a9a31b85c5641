"""A description of a dataset as tables for the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from pipelines.description.numbers import QUANTILES, Description, compact, counted
from pipelines.description.traits_text import percent, trait_lines
from pipelines.runtime.printable import printable


def description_table(description: Description) -> Group:
    """Returns tables of behaviours, quantiles, facts and traits, 80 columns wide.

    Names come from the log; as `Text` they are not parsed as markup, and their control characters
    are made visible.

    Args:
        description: the result of `numbers.describe`.
    """
    users, items = counted(description.users, "user"), counted(description.items, "item")
    title = f"{description.name}: {users}, {items}, {counted(description.events, 'event')}"
    return Group(
        Text(printable(title), style="bold"),
        _behavior_table(description),
        _quantile_table(description),
        _fact_table(description),
        *_trait_parts(description.traits),
    )


def _behavior_table(description):
    table = Table(box=box.SIMPLE)
    table.add_column("behaviour", overflow="fold")
    for heading in ("events", "share", "per user", "came before\nthe target"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, count in description.events_by_behavior.items():
        table.add_row(
            Text(printable(f"{name} (target)" if name == description.target else name)),
            f"{count:,}",
            percent(count / description.events),
            f"{count / description.users:,.1f}",
            percent(description.repeats.preceded_by[name]),
        )
    return table


def _quantile_table(description):
    table = Table(box=box.SIMPLE, padding=(0, 0, 0, 1))
    table.add_column("events", overflow="fold")
    for heading in (*QUANTILES, "mean"):
        table.add_column(heading, justify="right", no_wrap=True)
    rows = {
        "per user": description.events_per_user,
        f"{description.target} per user": description.targets_per_user,
        "per item": description.events_per_item,
    }
    for label, numbers in rows.items():
        values = map(compact, numbers.quantiles.values())
        table.add_row(Text(printable(label)), *values, f"{numbers.mean:,.1f}")
    return table


def _fact_table(description):
    timeline, evaluation = description.timeline, description.evaluation
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    if timeline.unit:
        span = f"{timeline.first_date} to {timeline.last_date} UTC (Unix {timeline.unit})"
    else:
        span = f"{timeline.first} to {timeline.last} (the source's own numbers, unit unknown)"
    table.add_row("time", span)
    ties = percent(description.ties.rate)
    table.add_row("ties", f"{ties} of events share their time with another of the same user")
    rate = percent(description.repeats.rate)
    repeats = f"{rate} of {description.target} events on an item the user had touched before"
    table.add_row("repeats", Text(printable(repeats)))
    shares = description.top_items.items()
    top = ", ".join(f"top {part} of items: {percent(share)}" for part, share in shares)
    table.add_row("popularity", f"{top} of events")
    occurring = f"{description.items_with_events:,} of {description.items:,} items"
    table.add_row("catalogue", f"{occurring} occur in the events")
    asked = f"{evaluation.validation:,} validation, {counted(evaluation.test, 'test question')}"
    if evaluation.official:
        asked += f"; official test items: {evaluation.official:,}"
    if evaluation.problem:
        asked += f"; {evaluation.problem}"
    table.add_row("evaluation", Text(printable(asked)))
    return table


def _trait_parts(traits):
    if traits is None:
        return ()
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in trait_lines(traits).items():
        table.add_row(name, Text(printable(text)))
    return Text("\ntraining events", style="bold"), table
