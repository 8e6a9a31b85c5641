"""Ctrl-C during a training or an export, which then stops between two steps."""

from __future__ import annotations

import contextlib
import signal
import threading

import keras


class Interruption(keras.callbacks.Callback):
    """Raises `KeyboardInterrupt` after the step in which Ctrl-C is pressed.

    Python raises it wherever it happens to be, and in a `__del__` it is lost. TensorFlow 2.21 has
    such methods in `AtomicFunction` and, with a bare `except`, `ConcreteFunctionGarbageCollector`,
    which dismantle the graphs of unused functions. When Ctrl-C is pressed a second time, it is
    raised at once.

    Args:
        at_once: whether the first press is raised at once as well; if it is lost, `raise_if_asked`
            raises it again.
    """

    def __init__(self, at_once: bool = False):
        super().__init__()
        self._at_once = at_once
        self._is_asked_for = False

    @contextlib.contextmanager
    def listening(self):
        """Handles Ctrl-C within the block.

        Does nothing outside the main thread, where signals cannot be handled, and in a process
        that ignores Ctrl-C because it was started in the background.
        """
        in_main_thread = threading.current_thread() is threading.main_thread()
        if not in_main_thread or signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
            yield
            return
        before = signal.signal(signal.SIGINT, self._note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before or signal.SIG_DFL)

    def _note(self, number, frame):
        at_once = self._at_once or self._is_asked_for
        self._is_asked_for = True
        if at_once:
            raise KeyboardInterrupt

    def on_train_batch_end(self, batch, logs=None):
        """Stops the training if Ctrl-C was pressed."""
        self.raise_if_asked()

    def raise_if_asked(self) -> None:
        """Raises `KeyboardInterrupt` if Ctrl-C was pressed."""
        if self._is_asked_for:
            raise KeyboardInterrupt
