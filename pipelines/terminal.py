"""What the commands have in common: a quiet TensorFlow, and words on standard error."""

from __future__ import annotations

import os
import warnings

from rich.console import Console

from pipelines.errors import InputError


def prepare_tensorflow() -> None:
    """Imports Keras without the noise that TensorFlow makes; call it before anything that does.

    Raises:
        InputError: if another backend is asked for.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if os.environ.setdefault("KERAS_BACKEND", "tensorflow") != "tensorflow":
        raise InputError(
            "the pipelines run on TensorFlow; unset KERAS_BACKEND or set it to tensorflow."
        )
    # One line, without the place in our code that a user has no use for.
    warnings.formatwarning = lambda message, *place, **more: f"warning: {message}\n"
    # While it is imported, TensorFlow tells about the machine on stderr whatever the log level.
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        import keras  # noqa: F401
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def say(text: str) -> None:
    """Prints a line on standard error, as it is."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(text, markup=False, emoji=False)


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
