"""The trials of a search: read from its directory, written as a table and a configuration.

trials.csv          one row per trial
best_config.json    the settings of the best trial, for `hmar train --config`
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path

from pipelines.runtime.errors import InputError
from pipelines.storage.artefacts import check, is_number, read_json, write_json, written_at_once
from pipelines.training.fit import best_epoch
from pipelines.training.run_directory import RunDirectory
from pipelines.tuning.space import SearchSpace
from pipelines.tuning.trial_runner import MESSAGE, PROJECT, trial_directory

TRIALS, BEST = "trials.csv", "best_config.json"
_OWN = "tuner/"  # prefix of the values that Hyperband adds


@dataclasses.dataclass(frozen=True)
class Trial:
    """A trial and its progress.

    Args:
        trial_id: KerasTuner's id.
        status: `running`, `completed` or `failed`.
        values: by setting.
        score: value of the objective; None if it has not completed.
        goes_on_with: id of the trial whose training it continues; None if it starts from scratch.
        history: its run's history, one entry per epoch.
        message: why it failed, in one line.
        run: directory of its run; None if that has not started.
    """

    trial_id: str
    status: str
    values: dict
    score: float | None
    goes_on_with: str | None
    history: list[dict]
    message: str
    run: Path | None

    @property
    def seconds(self) -> float:
        """Total time of its epochs."""
        return sum(epoch.get("seconds", 0) for epoch in self.history)


def read_trials(directory: Path, ended: Mapping[str, Trial] | None = None) -> list[Trial]:
    """Reads all trials, in the order in which they started.

    Args:
        directory: directory of the search.
        ended: trials, by id, that were read after they ended; they are not read again.

    Raises:
        InputError: if one of their files is broken.
    """
    known = {trial_directory(directory, each): trial for each, trial in (ended or {}).items()}
    # A trial that is killed before it has a file has no run either.
    found = [
        path
        for path in (directory / PROJECT).glob("trial_*")
        if (path / "trial.json").exists() or (path / "run").exists()
    ]
    # As numbers: ids have as many digits as `max_trials` had when the trial started.
    found.sort(key=lambda path: int(path.name.removeprefix("trial_")))
    return [known.get(path) or _read(path / "trial.json") for path in found]


def _read(path):
    try:
        stored = read_json(path, _fault, "restore it")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{path} is missing; restore it.") from error
    try:
        return _trial(path, stored)
    except InputError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, IndexError, OSError) as error:
        raise InputError(
            f"{path} is broken ({type(error).__name__}: {error}); restore it."
        ) from error


def _fault(stored):
    """Returns what is wrong with a trial's file; None if nothing is."""
    values = stored.get("hyperparameters") if isinstance(stored, dict) else None
    if not isinstance(values, dict) or not isinstance(values.get("values"), dict):
        return "it has no values"
    if not isinstance(stored.get("trial_id"), str) or not isinstance(stored.get("status"), str):
        return "it has no trial_id or status"
    if stored["status"] == "COMPLETED" and not is_number(stored.get("score")):
        return "its score is not a finite number"
    return None


def _trial(path, stored):
    values = stored["hyperparameters"]["values"]
    run, message = RunDirectory(path.parent / "run"), path.parent / MESSAGE
    status = stored["status"].lower()
    text = ""
    if message.exists():
        check(message, "restore it")
        text = message.read_text().strip().splitlines()[-1]
    if status == "failed" and not text:
        text = "its worker died without a message, perhaps for lack of memory"
    begun = any((run.path / name).exists() for name in ("run.json", "history.json"))
    return Trial(
        trial_id=stored["trial_id"],
        status=status if status in ("completed", "failed") else "running",
        values={name: value for name, value in values.items() if not name.startswith(_OWN)},
        score=stored["score"] if status == "completed" else None,
        goes_on_with=values.get(f"{_OWN}trial_id"),
        history=run.history() if begun else [],
        message=text if status == "failed" else "",
        run=run.path if begun else None,
    )


def completed(trials: list[Trial]) -> list[Trial]:
    """Returns the completed trials, the best first; on a tie, the earlier one."""
    found = [trial for trial in trials if trial.status == "completed"]
    return sorted(found, key=lambda trial: -trial.score)


def write_trials(directory: Path, trials: list[Trial], space: SearchSpace, objective: str) -> None:
    """Writes the table, and the settings of the best trial if any has completed.

    Args:
        directory: directory of the search.
        trials: the trials to write.
        space: the searched settings.
        objective: name of the score.
    """
    with (
        written_at_once(directory / TRIALS) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        own = ["trial", "status", objective, "best_epoch", "epochs", "seconds", "goes_on_with"]
        writer.writerow([*own, *space.entries, "run", "message"])
        writer.writerows(_row(trial, space, directory) for trial in trials)
    ranked = completed(trials)
    if ranked:
        best = space.config(ranked[0].values).to_dict()
        write_json(directory / BEST, best)


def _row(trial, space, directory):
    return [
        trial.trial_id,
        trial.status,
        "" if trial.score is None else trial.score,
        best_epoch(trial.history) if trial.history else "",
        len(trial.history),
        round(trial.seconds, 2),
        trial.goes_on_with or "",
        *(trial.values.get(name, "") for name in space.entries),
        trial.run.relative_to(directory) if trial.run else "",
        trial.message,
    ]
