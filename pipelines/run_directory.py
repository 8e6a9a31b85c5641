"""The directory of one run: what was asked for, how far it got, and what came out.

    run.json          dataset, raw data directory, seed, versions
    config.json       the HMARConfig
    history.json      one entry a finished epoch; an epoch counts once it stands here
    checkpoints/      weights and optimiser state of the last and of the best epoch
    model.keras       the model with the best weights, ready for `keras.saving.load_model`
    metrics.json      test and validation results of the model and the baselines
    tensorboard/      logs for TensorBoard

Every file is written under another name and renamed when it is complete.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection
from pathlib import Path

from hmar_keras.config import HMARConfig
from hmar_keras.models import MODELS
from pipelines.errors import InputError
from pipelines.json_text import parse_json


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
    def create(cls, path, settings: dict, config: HMARConfig) -> RunDirectory:
        """Makes a new run.

        Args:
            path: must not exist yet, or be an empty directory.
            settings: what `run.json` shall hold.
            config: what `config.json` shall hold.

        Raises:
            InputError: if it exists or cannot be written.
        """
        run = cls(path)
        new_directory(run.path)
        run._checkpoints.mkdir()
        run.write_json("config.json", config.to_dict())
        run.write_json("run.json", settings)
        return run

    @classmethod
    def open(cls, path) -> RunDirectory:
        """An existing run.

        Raises:
            InputError: if there is none.
        """
        run = cls(path)
        if not (run.path / "run.json").is_file():
            raise InputError(f"{run.path} is not the directory of a run: it holds no run.json.")
        return run

    def config(self) -> HMARConfig:
        """The configuration.

        Raises:
            InputError: if the file does not hold a valid one, or one of a model of the user's own
                that has not been imported.
        """
        path, settings = self.path / "config.json", self.read_json("config.json")
        try:
            return HMARConfig.from_dict(settings)
        except ValueError as error:
            model = settings.get("model") if isinstance(settings, dict) else None
            if isinstance(model, str) and model not in MODELS:
                raise InputError(
                    f"{path} is of the model {model!r}, which nothing has registered; give the "
                    "file that does: hmar --import FILE.py."
                ) from error
            raise InputError(f"{path}: {error}") from error

    def settings(self) -> dict:
        """What `run.json` holds."""
        return self.read_json("run.json")

    def history(self) -> list[dict]:
        """The finished epochs, the oldest first."""
        return self.read_json("history.json") if (self.path / "history.json").exists() else []

    def checkpoint(self, epoch: int) -> Path:
        """Where the weights after an epoch (from 1) are kept."""
        return self._checkpoints / f"epoch-{epoch:05d}.weights.h5"

    def keep_checkpoints(self, *epochs: int) -> None:
        """Deletes the checkpoints of all other epochs and what an interruption left behind."""
        kept = {self.checkpoint(epoch) for epoch in epochs}
        for path in self._checkpoints.iterdir():
            if path not in kept:
                path.unlink()

    def read_json(self, name: str):
        """The content of one of the JSON files.

        Raises:
            InputError: if it is missing or broken.
        """
        path = self.path / name
        try:
            return parse_json(path.read_text())
        except FileNotFoundError as error:
            raise InputError(f"{path} is missing; train the run first.") from error
        except ValueError as error:
            raise InputError(f"{path} is not JSON ({error}); restore it.") from error

    def write_json(self, name: str, content) -> None:
        """Writes one of the JSON files at once or not at all."""
        with written_at_once(self.path / name) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n")


def new_directory(path: Path) -> None:
    """Makes the directory of something new.

    Raises:
        InputError: if there is something in it, or it cannot be written.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} exists; choose another --output, or continue it with --resume.")
    try:
        path.mkdir(parents=True, exist_ok=True)
        with written_at_once(path / "check") as temporary:
            temporary.touch()
        (path / "check").unlink()
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}); choose another --output."
        ) from error


def read_json_object(path: Path, what: str, fields: Collection[str]) -> dict:
    """A JSON file that says what a directory is.

    Args:
        path: of the file.
        what: the directory should be.
        fields: what the file must hold.

    Raises:
        InputError: if it is missing or broken.
    """
    try:
        content = parse_json(path.read_text())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            f"{path.parent} is not the directory of {what}: it holds no {path.name}."
        ) from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}); restore it.") from error
    missing = [name for name in fields if not isinstance(content, dict) or name not in content]
    if missing:
        raise InputError(f"{path} does not hold {', '.join(missing)}; restore it.")
    return content


@contextlib.contextmanager
def written_at_once(path: Path):
    """Gives a name to write to; it becomes `path` when the block ends without an error."""
    # The suffix stays the same: Keras chooses the format by it.
    temporary = path.with_name("." + path.name)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
