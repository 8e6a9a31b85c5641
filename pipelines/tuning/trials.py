"""What a search has tried: read from its directory, and written as a table and a configuration.

trials.csv          one row a trial
best_config.json    the settings of the best, for `hmar train --config`
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
_OWN = "tuner/"  # what Hyperband adds to the values


@dataclasses.dataclass(frozen=True)
class Trial:
    """One trial, as far as it has come.

    Args:
        trial_id: KerasTuner's.
        status: `running`, `completed` or `failed`.
        values: by setting.
        score: of the objective, None if it has not completed.
        goes_on_with: the trial whose training it continued, None if it began anew.
        history: of its run, an entry an epoch.
        message: why it failed, one line.
        run: the directory of its run, if it was begun.
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
        """What its epochs took."""
        return sum(epoch.get("seconds", 0) for epoch in self.history)


def read_trials(directory: Path, ended: Mapping[str, Trial] | None = None) -> list[Trial]:
    """All trials, in the order in which they were begun.

    Args:
        directory: of the tuning.
        ended: trials by id that have been read after they ended, which are not read again.

    Raises:
        InputError: if a file of theirs is broken.
    """
    known = {trial_directory(directory, each): trial for each, trial in (ended or {}).items()}
    # A trial that was killed before it had a file has no run either.
    found = [
        path
        for path in (directory / PROJECT).glob("trial_*")
        if (path / "trial.json").exists() or (path / "run").exists()
    ]
    # Their numbers have as many digits as `max_trials` had when they were begun.
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
    """Says what is wrong with a trial's file, None if nothing is."""
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
        text = "its worker ended without a word, perhaps for want of memory"
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
    """Those that completed, the best first and the earlier of equals."""
    found = [trial for trial in trials if trial.status == "completed"]
    return sorted(found, key=lambda trial: -trial.score)


def write_trials(directory: Path, trials: list[Trial], space: SearchSpace, objective: str) -> None:
    """Writes the table, and the settings of the best if any has completed.

    Args:
        directory: of the tuning.
        trials: what to write.
        space: what they changed.
        objective: what the score is called.
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
