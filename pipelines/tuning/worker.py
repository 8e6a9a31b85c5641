"""A worker of a search: asks the chief for trials and runs them, until there are no more.

    python -m pipelines.tuning.worker DIRECTORY

is what the chief starts on its own machine; it ends when the chief does.
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
    """Runs trials until the chief has no more; who and where it is, `KERASTUNER_...` say.

    Args:
        path: of the tuning, which the chief has begun or is about to.

    Raises:
        InputError: if it does not begin, or the data is not what it was.
    """
    from pipelines.tuning.request import FILE, read_tuning

    deadline = time.monotonic() + _PATIENCE
    if not (path / FILE).exists():
        say(f"waiting for the chief to begin {path}")
    while not (path / FILE).exists():
        if time.monotonic() > deadline:
            raise InputError(f"no chief has begun {path}; start one with the same --output.")
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
    """Whoever started this process holds the other end of its standard input."""
    # Not through Python's buffer, whose lock would be held while the interpreter ends.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    prepare_keras()
    with errors_as_sentences():
        work(Path(sys.argv[1]))
