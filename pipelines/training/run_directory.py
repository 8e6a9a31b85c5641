"""The directory of one run: what was requested, how far it got, and what came out.

    run.json          dataset, raw data directory, seed, versions
    config.json       the settings
    history.json      one entry per finished epoch; an epoch counts once it is listed here
    checkpoints/      weights and optimiser state of the last and of the best epoch
    model.keras       the model with the best weights, ready for `keras.saving.load_model`
    metrics.json      test and validation results of the model and the baselines
    tensorboard/      logs for TensorBoard
    run.lock          held by the process that trains

Every file is written under another name and renamed when it is complete. Files that are read back
have their checksums next to them, see `pipelines.storage.artefacts`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path

from pipelines.runtime.errors import InputError
from pipelines.storage.artefacts import (
    artefact_of,
    read_json,
    remove,
    write_json,
    writer_of,
    written_at_once,
)
from pipelines.storage.locks import held
from pipelines.training.run_config import RunConfig, unregistered
from pipelines.training.run_files import history_fault, metrics_fault, settings_fault, source_fault

_LOCK, _CHECK = "run.lock", ".check"
# What a run holds if its process was killed while creating it.
_UNFINISHED = ("checkpoints", "config.json", "config.json.sha256", "run.json.sha256", _LOCK)


def _any_content(content):
    return None


class RunDirectory:
    """Reads and writes the files of a run.

    Args:
        path: the directory.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.model = self.path / "model.keras"
        self.tensorboard = self.path / "tensorboard"
        self._checkpoints = self.path / "checkpoints"

    @classmethod
    def create(cls, path, settings: dict, config: RunConfig) -> RunDirectory:
        """Creates a new run.

        Args:
            path: a path that does not exist yet, or an empty directory.
            settings: content of `run.json`.
            config: content of `config.json`.

        Raises:
            InputError: if it exists or cannot be written.
        """
        run = cls(path)
        new_directory(run.path, run._is_unfinished)
        with run.held():
            if (run.path / "run.json").exists():  # another process was faster
                raise _exists(run.path)
            run._checkpoints.mkdir(exist_ok=True)
            run.write_json("config.json", config.to_dict())
            run.write_json("run.json", settings)
        return run

    @classmethod
    def open(cls, path) -> RunDirectory:
        """Opens an existing run.

        Raises:
            InputError: if there is none.
        """
        run = cls(path)
        if not (run.path / "run.json").is_file():
            raise InputError(f"{run.path} is not the directory of a run: it has no run.json.")
        return run

    def held(self):
        """Holds the run, so that only one process trains it; that process may hold it repeatedly.

        Raises:
            InputError: if another process holds it, or the directory cannot be written.
        """
        return held(
            self.path / _LOCK,
            f"{self.path} is being trained by another process; wait for it to finish, or choose "
            "another --output.",
        )

    def _is_unfinished(self):
        """Returns whether a process was killed while creating the run, before any result."""
        names = [path.name for path in self.path.iterdir() if not _is_temporary(path.name)]
        begun = "checkpoints" in names or _LOCK in names
        empty = not self._checkpoints.is_dir() or not any(self._checkpoints.iterdir())
        return begun and empty and set(names) <= set(_UNFINISHED)

    def config(self) -> RunConfig:
        """Reads the configuration.

        Raises:
            InputError: if the file does not hold a valid one, or its custom model has not been
                imported.
        """
        path, settings = self.path / "config.json", self.read_json("config.json")
        try:
            return RunConfig.from_dict(settings)
        except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
            raise InputError(f"{path}: {unregistered(settings) or error}") from error

    def settings(self) -> dict:
        """Reads `run.json`: the data, the software, the seed and the hardware.

        Raises:
            InputError: if it is damaged or incomplete.
        """
        return self.read_json(
            "run.json", lambda content: settings_fault(content) or source_fault(content)
        )

    def history(self) -> list[dict]:
        """Reads the finished epochs, oldest first.

        Raises:
            InputError: if the file is damaged, or missing although there is a model.
        """
        if os.path.lexists(self.path / "history.json"):
            return self.read_json("history.json", history_fault)
        if self.model.exists():  # which is written after the last epoch
            raise InputError(
                f"{self.path / 'history.json'} is missing; restore it, or start a new run."
            )
        return []

    def metrics(self) -> dict | None:
        """Reads `metrics.json`; returns None if the run has not been evaluated.

        Raises:
            InputError: if it is damaged.
        """
        if not os.path.lexists(self.path / "metrics.json"):
            return None
        return self.read_json(
            "metrics.json", metrics_fault, "delete it and its checksum, then run hmar evaluate"
        )

    def checkpoint(self, epoch: int) -> Path:
        """Returns the path of the weights after an epoch (from 1)."""
        return self._checkpoints / f"epoch-{epoch:05d}.weights.h5"

    def keep_checkpoints(self, *epochs: int) -> None:
        """Deletes the checkpoints of all other epochs and what an interruption left behind."""
        kept = [self.checkpoint(epoch).name for epoch in epochs]
        for path in self._checkpoints.iterdir():
            if path.name.removesuffix(".sha256") not in kept and not path.is_dir():
                remove(path)

    def read_json(
        self,
        name: str,
        fault: Callable[[object], str | None] = _any_content,
        advice: str = "restore it, or start a new run",
    ):
        """Reads one of the JSON files.

        Args:
            name: name of the file.
            fault: see `artefacts.read_json`.
            advice: what to do about a damaged file.

        Raises:
            InputError: if it is missing or broken.
        """
        path = self.path / name
        try:
            return read_json(path, fault, advice)
        except FileNotFoundError as error:
            raise InputError(f"{path} is missing; train the run first.") from error

    def write_json(self, name: str, content) -> None:
        """Writes one of the JSON files, completely or not at all."""
        write_json(self.path / name, content)


def new_directory(path: Path, may_be_reused: Callable[[], bool] = lambda: False) -> None:
    """Creates a directory for new results.

    Args:
        path: path of the directory.
        may_be_reused: whether it only holds what a killed process left before any result.

    Raises:
        InputError: if it is not empty, or cannot be written.
    """
    try:
        if path.exists() and not path.is_dir():
            raise _exists(path)
        if path.exists() and _holds_anything(path) and not may_be_reused():
            raise _exists(path)
        path.mkdir(parents=True, exist_ok=True)
        with written_at_once(path / _CHECK) as temporary:
            temporary.touch()
        (path / _CHECK).unlink()
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}); choose another --output."
        ) from error


def _holds_anything(path):
    """Returns whether there is more than what a process killed while writing leaves."""
    names = {each.name for each in path.iterdir() if not _is_temporary(each.name)}
    # A checksum is written before its file, so alone it does not count.
    return any(artefact_of(name) in (None, *names) for name in names)


def _is_temporary(name):
    """Returns whether a name is one of those that a killed writer leaves."""
    return name == _CHECK or writer_of(name) is not None


def _exists(path):
    return InputError(f"{path} exists; choose another --output, or continue it with --resume.")


def read_json_object(path: Path, what: str, fields: Collection[str]) -> dict:
    """Reads the JSON file that says what a directory is.

    Args:
        path: path of the file.
        what: whose directory it should be, for messages, such as "an experiment".
        fields: fields that the file must have.

    Raises:
        InputError: if it is missing or broken.
    """

    def fault(content):
        missing = [name for name in fields if not isinstance(content, dict) or name not in content]
        return f"it has no {', '.join(missing)}" if missing else settings_fault(content)

    try:
        return read_json(path, fault, "restore it")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            f"{path.parent} is not the directory of {what}: it has no {path.name}."
        ) from error
