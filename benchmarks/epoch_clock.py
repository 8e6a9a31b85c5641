"""The durations of the epochs of a `fit`."""

from __future__ import annotations

import time
from collections.abc import Callable

import keras


class EpochClock(keras.callbacks.Callback):
    """Records the seconds of every epoch in `seconds`.

    Args:
        wait: called before the clock stops, for backends whose steps may still be running.
    """

    def __init__(self, wait: Callable[[], object] = lambda: None):
        super().__init__()
        self.seconds: list[float] = []
        self._wait, self._start = wait, 0.0

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the clock."""
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        """Stops the clock and records its time."""
        self._wait()
        self.seconds.append(time.perf_counter() - self._start)
