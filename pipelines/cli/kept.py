"""What the commands say of a dataset before they use it."""

from __future__ import annotations

from rich.console import Console

from pipelines.runtime.terminal import say


def say_what_was_kept(dataset) -> None:
    """Prints the report of a log that was cleaned, and the counts of any dataset.

    Args:
        dataset: an `InteractionDataset`.
    """
    if dataset.report:
        from pipelines.datasets.event_log.report import report_table

        Console(stderr=True).print(report_table(dataset.report))
    counts = ", ".join(f"{name} {count:,}" for name, count in dataset.events_by_behavior().items())
    say(f"{dataset.name}: {dataset.num_users:,} users, {dataset.num_items:,} items, {counts}")
