"""Progress of a training, on standard error."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class TrainingProgress(keras.callbacks.Callback):
    """A bar over all epochs with the time left and the best validation score.

    If standard error is not a terminal (a pipe, a log file), one line per epoch instead.

    Args:
        epochs: maximum number of epochs.
        steps: steps per epoch.
        monitored: the validation metric to show.
        history: the scores of the epochs finished before, oldest first.
    """

    def __init__(self, epochs: int, steps: int, monitored: str, history: Sequence[float] = ()):
        super().__init__()
        self._epochs = epochs
        self._steps = steps
        self._monitored = monitored
        self._console = Console(stderr=True)
        self._bar = None
        self._epoch = 0
        self._best = max(((score, -row) for row, score in enumerate(history, 1)), default=(0.0, 0))

    def on_train_begin(self, logs=None):
        """Shows the bar."""
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("at most"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._task = self._bar.add_task("training", total=self._epochs * self._steps)
            self._bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        """Shows the epoch."""
        self._epoch = epoch
        if self._bar:
            self._bar.update(self._task, description=self._description())

    def on_train_batch_end(self, batch, logs=None):
        """Advances the bar."""
        if self._bar:
            # The last execution of an epoch may have had fewer steps than Keras counts.
            done = min(batch + 1, self._steps)
            self._bar.update(self._task, completed=self._epoch * self._steps + done)

    def on_epoch_end(self, epoch, logs=None):
        """Shows the validation score."""
        score = logs[self._monitored]
        self._best = max(self._best, (score, -(epoch + 1)))  # the earliest if several tie
        if self._bar:
            self._bar.update(self._task, description=self._description())
        else:
            self._console.print(
                f"epoch {epoch + 1}/{self._epochs}  loss {logs['loss']:.4f}  "
                f"{self._monitored} {score:.4f}  best {self._best[0]:.4f} ({-self._best[1]})",
                highlight=False,
            )

    def on_train_end(self, logs=None):
        """Removes the bar."""
        self.close()

    def close(self):
        """Removes the bar, also after an interruption."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _description(self):
        text = f"epoch {self._epoch + 1}/{self._epochs}"
        best, epoch = self._best[0], -self._best[1]
        return text + (f"  best {self._monitored} {best:.4f} (epoch {epoch})" if epoch else "")
