"""Ctrl-C in a command: what is kept, how to go on, and exit status 130."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import typer

from pipelines.runtime.terminal import say


@contextlib.contextmanager
def if_interrupted(words: Callable[[], str]) -> Iterator[None]:
    """Ends the command with some words where Ctrl-C is pressed inside.

    Args:
        words: gives them, as things stand then.
    """
    try:
        yield
    except KeyboardInterrupt:
        say(f"interrupted{words()}")
        raise typer.Exit(130) from None


def preparing():
    """Inside, data is loaded, and prepared if that was not done before."""
    return if_interrupted(
        lambda: "; what was not ready is put away, the same command begins it again"
    )
