"""What commands print about a dataset before they use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from pipelines.runtime.terminal import say

if TYPE_CHECKING:
    from pipelines.protocol.splits import Splits


def say_what_was_kept(dataset) -> None:
    """Prints the counts of a dataset and, for a cleaned log, the cleaning report.

    Args:
        dataset: an `InteractionDataset`.
    """
    if dataset.report:
        from pipelines.datasets.event_log.report import report_table

        Console(stderr=True).print(report_table(dataset.report))
    counts = ", ".join(f"{name} {count:,}" for name, count in dataset.events_by_behavior().items())
    say(f"{dataset.name}: {dataset.num_users:,} users, {dataset.num_items:,} items, {counts}")


def say_traits(splits: Splits) -> None:
    """Prints what the training events are like, one line for each trait."""
    from pipelines.description.traits_text import trait_lines
    from pipelines.protocol.log_traits import log_traits

    for name, text in trait_lines(log_traits(splits)).items():
        say(f"{name}: {text}")
