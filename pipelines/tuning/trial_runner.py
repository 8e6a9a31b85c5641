"""Runs the trials of a search, each in a run directory as from `hmar train`."""

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
MESSAGE = "message.txt"  # why a trial failed; gRPC would lose it
_BETWEEN_TRIALS = 0.1


class NoRoomError(InputError, keras_tuner.errors.FatalError):
    """The disk is full: the trial has not failed, but resumes once there is room.

    KerasTuner counts any other error as a failed trial.
    """


def trial_directory(directory: str | os.PathLike, trial_id: str) -> Path:
    """Returns the directory in which KerasTuner keeps a trial."""
    return Path(directory) / PROJECT / f"trial_{trial_id}"


class TrialRunner(keras_tuner.Tuner):
    """KerasTuner's tuner, for the chief, which hands out trials, and workers, which run them.

    `KERASTUNER_TUNER_ID` decides which. Trials are trained by `pipelines.training.fit.train`, so
    that an interrupted trial resumes after its last finished epoch, and a good one can be
    evaluated, exported and reported as it is.

    Args:
        directory: directory of the search.
        oracle: creates the trials.
        space: the searched settings.
        splits: the split dataset; None for the chief.
        source: data and software versions for the `run.json` of each trial.
        seed: seed of every training.
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
        """Trains a trial and returns the validation results of its best epoch.

        Raises:
            FailedTrialError: if the settings are not valid, or the loss is not finite.
            NoRoomError: if the disk is full.
        """
        # State of earlier trials in this process must neither matter nor pile up.
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
        """Opens the trial's run: its own, a copy of the one that it continues, or a new one."""
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
        """Waits a moment, because the chief may not have a trial yet."""
        time.sleep(_BETWEEN_TRIALS)

    def on_trial_end(self, trial):
        """Reports how a trial ended."""
        if trial.message:
            path = trial_directory(self.directory, trial.trial_id) / MESSAGE
            with written(path, len(trial.message.encode())) as temporary:
                temporary.write_text(trial.message)
        self.oracle.end_trial(trial)

    def save(self):
        """Saves the chief's oracle, which is all the state there is."""
        if not self._is_worker():
            self.oracle.save()

    def reload(self):
        """Reloads the chief's oracle."""
        if not self._is_worker():
            self.oracle.reload()

    def _get_tuner_fname(self):
        return str(Path(self.project_dir) / "oracle.json")
