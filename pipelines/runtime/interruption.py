"""Ctrl-C in a training or an export: it ends between two steps of it."""

from __future__ import annotations

import contextlib
import signal
import threading

import keras


class Interruption(keras.callbacks.Callback):
    """Raises `KeyboardInterrupt` after the step in which Ctrl-C was pressed.

    Python raises it wherever it happens to be, and where that is a `__del__`, it is lost. Such are
    `AtomicFunction` and, with a bare `except`, `ConcreteFunctionGarbageCollector` of TensorFlow
    2.21, which take apart the graphs of functions that are no longer needed. Pressed a second time
    it is raised at once.

    Args:
        at_once: whether the first press, too, is raised at once; if it is lost,
            `raise_if_asked` raises it again.
    """

    def __init__(self, at_once: bool = False):
        super().__init__()
        self._at_once = at_once
        self._is_asked_for = False

    @contextlib.contextmanager
    def listening(self):
        """Inside, Ctrl-C is noted.

        Not in other threads than the main one, where it cannot be, nor in a process that ignores
        it because it was started in the background.
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
        """Ends the training if it is to be."""
        self.raise_if_asked()

    def raise_if_asked(self) -> None:
        """Raises `KeyboardInterrupt` if Ctrl-C was pressed."""
        if self._is_asked_for:
            raise KeyboardInterrupt
