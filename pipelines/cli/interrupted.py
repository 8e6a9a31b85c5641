"""Ctrl-C in a command: says what is kept and how to continue, and exits with status 130."""

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
    """Ends the command with a message if Ctrl-C is pressed inside.

    Args:
        words: returns the message, given the state at that moment.
    """
    try:
        yield
    except KeyboardInterrupt:
        say(f"interrupted{words()}")
        raise typer.Exit(130) from None


def preparing():
    """Returns a context in which data is loaded, and prepared if necessary."""
    return if_interrupted(
        lambda: "; unfinished data is removed, and the same command prepares it again"
    )


def repeat_lost_interrupts() -> None:
    """Repeats, from this call on, every Ctrl-C that Python raises where exceptions are lost.

    Python only prints what is raised in a `__del__` or in the callback of a weak reference; without
    this, the command would continue.
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
