"""A worker of a search: asks the chief for trials and runs them, until there are no more.

On its own machine, the chief starts workers by the following command; they stop when it does.

    python -m pipelines.tuning.worker DIRECTORY
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from pipelines.runtime.errors import InputError
from pipelines.runtime.terminal import prepare_keras, say
from pipelines.storage.disk_errors import errors_as_sentences

_BETWEEN_LOOKS = 1.0
_PATIENCE = 3600.0  # seconds; as long as KerasTuner waits for its chief


def work(path: Path) -> None:
    """Runs trials until the chief, which the variables `KERASTUNER_...` locate, has no more.

    Args:
        path: directory of the search, which the chief has started or is about to start.

    Raises:
        InputError: if the chief does not start the search, or the data has changed.
    """
    from pipelines.tuning.request import FILE, read_tuning

    deadline = time.monotonic() + _PATIENCE
    if not (path / FILE).exists():
        say(f"waiting for the chief to start {path}")
    while not (path / FILE).exists():
        if time.monotonic() > deadline:
            raise InputError(f"no chief has started {path}; start one with the same --output.")
        time.sleep(_BETWEEN_LOOKS)
    tuning = read_tuning(path)
    tuning.hardware.prepare()
    from pipelines.protocol.splits import split
    from pipelines.tuning.trial_runner import TrialRunner

    space = tuning.space
    splits = split(tuning.load_dataset(), space.base.split.holdout)
    of_trials = (splits, tuning.source, tuning.content["seed"], tuning.hardware)
    TrialRunner(path, tuning.oracle(), space, *of_trials).search()


def _end_with_parent():
    """Exits when the parent does, which holds the other end of standard input."""
    # Not through Python's buffer, whose lock would be held while the interpreter exits.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    prepare_keras()
    with errors_as_sentences():
        work(Path(sys.argv[1]))
