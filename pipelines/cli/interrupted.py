"""Ctrl-C in a command: what is kept, how to go on, and exit status 130."""

from __future__ import annotations

import _thread
import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

import typer

from pipelines.runtime.terminal import say

_SECONDS_UNTIL_REPEATED = 0.05


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


def repeat_lost_interrupts() -> None:
    """Repeats, from here on, every Ctrl-C that Python raises where nothing can be raised.

    Python only prints what is raised in a `__del__` or in the callback of a weak reference; without
    this, the command would go on.
    """
    show = sys.unraisablehook

    def repeat(unraisable):
        if unraisable.exc_type is not KeyboardInterrupt:
            show(unraisable)
            return
        # Nothing can be raised here either, so another thread does it, a moment later.
        timer = threading.Timer(_SECONDS_UNTIL_REPEATED, _thread.interrupt_main)
        timer.daemon = True
        timer.start()

    sys.unraisablehook = repeat
