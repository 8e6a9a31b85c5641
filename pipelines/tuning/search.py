"""The chief of a search: hands out trials, shows their progress and writes the results."""

from __future__ import annotations

import os
import socket
import threading
import time
from unittest import mock

from pipelines.runtime.errors import InputError
from pipelines.tuning.local_workers import LocalWorkers
from pipelines.tuning.progress import SearchProgress
from pipelines.tuning.request import Tuning
from pipelines.tuning.trial_runner import TrialRunner
from pipelines.tuning.trials import Trial, completed, read_trials, write_trials

CHIEF = "chief"
ID, HOST, PORT = "KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"
_MOST_FAILED = 5  # in a row
_BETWEEN_LOOKS = 0.5


def role() -> str | None:
    """Returns `chief` or `worker` if KerasTuner's environment variables make this process one.

    Raises:
        InputError: if some of them are missing.
    """
    if ID not in os.environ:
        return None
    missing = [name for name in (HOST, PORT) if name not in os.environ]
    if missing:
        raise InputError(f"{ID} is set, but {missing[0]} is not; set all of them, or none.")
    return CHIEF if CHIEF in os.environ[ID] else "worker"


class Search:
    """Runs a search to its end.

    Args:
        tuning: the search.
        workers: number of processes that run trials on this machine; None if the environment makes
            this process a chief, whose workers run elsewhere.
    """

    def __init__(self, tuning: Tuning, workers: int | None):
        self._tuning = tuning
        self._space = tuning.space
        self._workers = workers
        self._error = None

    def run(self) -> list[Trial]:
        """Runs the remaining trials.

        Returns:
            all trials.

        Raises:
            InputError: if trials or workers keep failing, or no trial completes.
            KeyboardInterrupt: on Ctrl-C, after the workers have been stopped.
        """
        with mock.patch.dict(os.environ, self._environment()):
            address = os.environ[HOST], os.environ[PORT]
            devices = self._tuning.hardware.devices
            workers = LocalWorkers(self._tuning.path, self._workers or 0, address, devices)
            server = threading.Thread(target=self._serve, daemon=True)
            server.start()
            try:
                workers.start()
                self._watch(workers, server)
            finally:
                workers.end()
                trials = read_trials(self._tuning.path)
                self._write(trials)
        if not completed(trials):
            raise InputError(
                f"none of {len(trials)} trials completed, the last failed with: "
                f"{trials[-1].message if trials else 'nothing'}"
            )
        return trials

    def _environment(self):
        if self._workers is None:
            return {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return {ID: CHIEF, HOST: "127.0.0.1", PORT: str(free.getsockname()[1])}

    def _serve(self):
        try:
            TrialRunner(self._tuning.path, self._tuning.oracle(), self._space).search()
        except Exception as error:  # of this thread; `_watch` raises it
            self._error = error

    def _watch(self, workers, server):
        content, ended = self._tuning.content, {}
        progress = SearchProgress(content["max_trials"], content["objective"])
        with progress:
            while True:
                # KerasTuner's chief checks only every 20 s whether its workers are gone.
                going = server.is_alive() and (not self._workers or workers.look())
                trials = read_trials(self._tuning.path, ended)
                new = [t for t in trials if t.status != "running" and t.trial_id not in ended]
                progress.show(trials, new)
                if new:
                    ended |= {trial.trial_id: trial for trial in new}
                    workers.trial_ended()
                    self._write(trials)
                    _check_failures(trials)
                if self._error:
                    raise self._error
                if not going:
                    return
                time.sleep(_BETWEEN_LOOKS)

    def _write(self, trials):
        write_trials(self._tuning.path, trials, self._space, self._tuning.content["objective"])


def _check_failures(trials):
    last = [trial for trial in trials if trial.status != "running"][-_MOST_FAILED:]
    if len(last) == _MOST_FAILED and all(trial.status == "failed" for trial in last):
        raise InputError(
            f"the last {_MOST_FAILED} trials failed, the last with: {last[-1].message}; fix the "
            "cause and continue with --resume."
        )
