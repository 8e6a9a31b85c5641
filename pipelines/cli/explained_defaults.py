"""The settings that follow from a log, with the rule behind each, for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from pipelines.cli.interrupted import preparing
from pipelines.cli.kept import say_what_was_kept
from pipelines.runtime.terminal import prepare_keras

if TYPE_CHECKING:
    from pipelines.datasets.event_log import LogSpec
    from pipelines.workflow.defaults import Default


def explain_defaults(dataset: str | None, data_dir: str | None, log: LogSpec | None) -> None:
    """Loads a dataset or a log, and prints its default settings.

    Args:
        dataset: name of the dataset, or None if there is a log.
        data_dir: directory of its raw files.
        log: the user's own log, or None.

    Raises:
        InputError: if it cannot be loaded.
    """
    prepare_keras()
    from pipelines.datasets import load_chosen
    from pipelines.workflow.defaults import default_settings

    with preparing():
        data = load_chosen(dataset, data_dir, log)
    say_what_was_kept(data)
    Console().print(defaults_table(default_settings(data)))


def defaults_table(defaults: dict[str, Default]) -> Table:
    """Returns a table of settings, values and rules.

    Args:
        defaults: the result of `default_settings`.
    """
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("setting", no_wrap=True)
    table.add_column("default", no_wrap=True)
    table.add_column("why", overflow="fold")
    for name, default in defaults.items():
        table.add_row(name, str(default.value), default.rule)
    return table
