"""Runs the trials of a search, each in a run directory as of `hmar train`."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

import keras
import keras_tuner

from pipelines.protocol.splits import Splits
from pipelines.runtime.errors import InputError
from pipelines.runtime.hardware import Hardware
from pipelines.storage.artefacts import written
from pipelines.storage.disk_errors import is_of_disk, user_sentence
from pipelines.training.fit import best_epoch, train
from pipelines.training.run_directory import RunDirectory
from pipelines.training.validation import validation_names
from pipelines.tuning.space import SearchSpace

PROJECT = "search"  # KerasTuner's part of a tuning's directory
MESSAGE = "message.txt"  # why a trial failed; over gRPC it would be lost
_BETWEEN_TRIALS = 0.1


class NoRoomError(InputError, keras_tuner.errors.FatalError):
    """A disk without room: the trial has not failed, it goes on once there is room.

    KerasTuner counts any other error as a failed trial.
    """


def trial_directory(directory: str | os.PathLike, trial_id: str) -> Path:
    """Where KerasTuner keeps a trial."""
    return Path(directory) / PROJECT / f"trial_{trial_id}"


class TrialRunner(keras_tuner.Tuner):
    """KerasTuner's tuner: of the chief, who gives trials out, or of a worker, who runs them.

    Which one decides `KERASTUNER_TUNER_ID`. A trial is trained with `pipelines.training.fit.train`,
    so that one which was cut off goes on after its last finished epoch, and a better one can be
    evaluated, exported and looked at as it is.

    Args:
        directory: of the tuning.
        oracle: gives the trials.
        space: what they change.
        splits: the split dataset; None for the chief.
        source: what the `run.json` of each trial keeps of the data and the software.
        seed: of every training.
        hardware: what to train on.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        oracle: keras_tuner.Oracle,
        space: SearchSpace,
        splits: Splits | None = None,
        source: dict | None = None,
        seed: int = 0,
        hardware: Hardware | None = None,
    ):
        self._space = space
        self._splits = splits
        self._source = source
        self._seed = seed
        self._hardware = hardware
        oracle.verbose = 0
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            super().__init__(oracle=oracle, directory=str(directory), project_name=PROJECT)

    def run_trial(self, trial):
        """Trains; returns the validation results of the best epoch.

        Raises:
            FailedTrialError: if the settings do not do, or the loss is no number any more.
            NoRoomError: if the disk is full.
        """
        # What earlier trials left in this process must not matter, nor pile up.
        keras.utils.clear_session(free_memory=True)
        directory = trial_directory(self.directory, trial.trial_id)
        values = trial.hyperparameters.values
        try:
            config = self._space.config(values)
            run = self._run(directory, config, values.get("tuner/trial_id"))
            train(self._splits, config, run, self._seed, self._hardware, values.get("tuner/epochs"))
        except Exception as error:
            if is_of_disk(error):
                raise NoRoomError(user_sentence(error)) from error
            if not isinstance(error, InputError | ValueError):
                raise
            raise keras_tuner.errors.FailedTrialError(str(error)) from error
        history = run.history()
        best = history[best_epoch(history) - 1]
        return {name: best[name] for name in validation_names()}

    def _run(self, directory, config, goes_on_with):
        """The trial's run: its own if it was begun before, a copy of the one it goes on with."""
        path = directory / "run"
        if (path / "run.json").exists():
            run = RunDirectory.open(path)
            if run.config() != config:
                raise InputError(f"{path} was trained with other settings; start a new search.")
            return run
        if goes_on_with is None:
            settings = {**self._source, "seed": self._seed}
            return RunDirectory.create(path, settings, config)
        temporary = directory / "copying"
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.copytree(trial_directory(self.directory, goes_on_with) / "run", temporary)
        temporary.rename(path)
        return RunDirectory.open(path)

    def pre_create_trial(self):
        """Waits a little, as a chief may have nothing yet."""
        time.sleep(_BETWEEN_TRIALS)

    def on_trial_end(self, trial):
        """Reports how it ended."""
        if trial.message:
            path = trial_directory(self.directory, trial.trial_id) / MESSAGE
            with written(path, len(trial.message.encode())) as temporary:
                temporary.write_text(trial.message)
        self.oracle.end_trial(trial)

    def save(self):
        """The chief's oracle is all the state there is."""
        if not self._is_worker():
            self.oracle.save()

    def reload(self):
        """Reads the state of the chief's oracle again."""
        if not self._is_worker():
            self.oracle.reload()

    def _get_tuner_fname(self):
        return str(Path(self.project_dir) / "oracle.json")
