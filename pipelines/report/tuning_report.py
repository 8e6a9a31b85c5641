"""The report of a search, followed by that of its best trial."""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.description.numbers import counted
from pipelines.report.elements import (
    Cell,
    Paragraph,
    Picture,
    Pictures,
    Section,
    Table,
    Tiles,
    number,
    shown,
)
from pipelines.report.model_sections import duration
from pipelines.report.page import render
from pipelines.report.pictures import lines
from pipelines.report.result_sections import title_of
from pipelines.report.run_report import add_one_run
from pipelines.report.search_pictures import best_so_far
from pipelines.report.space_sections import settings_section, together_section
from pipelines.runtime.errors import InputError
from pipelines.training.fit import best_epoch
from pipelines.training.validation import MONITORED
from pipelines.tuning.importance import places
from pipelines.tuning.progress import short
from pipelines.tuning.request import Tuning, read_tuning
from pipelines.tuning.trials import Trial, completed, read_trials

_CURVES = 5


def tuning_report(
    path: str | os.PathLike, data_dir: str | None = None, user: str | None = None
) -> str:
    """Renders the report of a search, finished or still running.

    Args:
        path: its directory.
        data_dir: where the dataset's raw files are now, if they have moved.
        user: the log's id of the user to follow through the best trial's run.

    Raises:
        InputError: if no trial has completed yet, or the best one's run cannot be opened.
    """
    tuning = read_tuning(Path(path))
    trials = _read(tuning)
    ended = _ended(trials)
    if not ended:
        raise InputError(f"no trial of {path} has completed yet; try again once one has.")
    summary, sections = tuning_sections(tuning, trials, ended)
    best = completed(ended)[0]
    name = f"trial {best.trial_id}"
    add_one_run(sections, tuning.path, best.run, name, data_dir, user)
    content = tuning.content
    title = f"{content['algorithm']} search on {content['dataset']}"
    subtitle = f"{tuning.path.resolve().name}, {counted(len(trials), 'trial')}"
    return render(shown(title), shown(subtitle), summary, sections)


def _read(tuning):
    """Reads all trials, with values of the settings' types."""
    space, trials = tuning.space, []
    for trial in read_trials(tuning.path):
        try:
            trials.append(dataclasses.replace(trial, values=space.values(trial.values)))
            places(trials[-1:], space)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"trial {trial.trial_id} of {tuning.path} has values outside its search space "
                f"({type(error).__name__}: {error}); restore it."
            ) from error
    return trials


def _ended(trials):
    """Returns completed trials in starting order, without those that another one continues."""
    superseded = {trial.goes_on_with for trial in trials if trial.status == "completed"}
    return [
        trial
        for trial in trials
        if trial.status == "completed" and trial.trial_id not in superseded
    ]


def tuning_sections(
    tuning: Tuning, trials: Sequence[Trial], ended: Sequence[Trial]
) -> tuple[list, list[Section]]:
    """Returns the summary and the sections of the search itself."""
    objective = tuning.content["objective"]
    title = objective_title(objective)
    # The first trial has the settings that the search began with, as has one that continues it.
    same = [place for place, trial in enumerate(ended) if trial.values == trials[0].values]
    began = same[0] if same else None
    sections = [
        Section("progress", "The search", _progress(ended, began, title, objective)),
        settings_section(ended, began, tuning.space, title),
        together_section(ended, tuning.space, title),
        Section("trials", "All trials", _tables(tuning, trials, title)),
    ]
    return _summary(tuning, trials, ended, began, title), sections


def objective_title(name: str) -> str:
    """Names an objective: `NDCG@10, sampled negatives` for `val_sampled_ndcg@10`."""
    if name == MONITORED:
        return "validation score"
    protocol, metric = name.removeprefix("val_").rsplit("_", 1)
    return f"{metric.upper()}, {title_of(protocol)}"


def _summary(tuning, trials, ended, began, title):
    counts = collections.Counter(trial.status for trial in trials)
    # The history of a trial that continues another includes that one's epochs.
    continued = {trial.goes_on_with for trial in trials if trial.history}
    seconds = sum(trial.seconds for trial in trials if trial.trial_id not in continued)
    best = completed(ended)[0]
    tiles = [(number(best.score), f"{title}, validation", f"the best: trial {best.trial_id}")]
    if began is not None:
        first = ended[began]
        tiles.append((number(first.score), "where the search began", f"trial {first.trial_id}"))
    done = f"{counts['completed']} of {tuning.content['max_trials']}"
    rest = f"{counts['failed']} failed, {counts['running']} not finished"
    tiles.append((done, "trials completed", rest))
    tiles.append((duration(seconds), "of training", "all trials together"))
    if began is not None and best is ended[began]:
        text = "No trial was better than the settings that the search began with."
    else:
        changes = ", ".join(f"{name} {short(value)}" for name, value in best.values.items())
        text = f"The best trial has {shown(changes, 400)}."
    caution = (
        "The best of many trials is partly the luckiest: its score is on the validation questions "
        "that it was chosen by. Test it with several seeds to see what it is worth."
    )
    return [Tiles(tiles), Paragraph(text), Paragraph(caution)]


def _progress(ended, began, title, objective):
    scores = np.array([trial.score for trial in ended])
    best = int(np.argmax(scores))
    sentence = (
        f"The best score, {number(scores[best])}, is that of trial {ended[best].trial_id}, number "
        f"{best + 1} of {len(ended)}."
    )
    if began is not None:
        sentence += f" The search began with {number(scores[began])}."
    rising = np.maximum.accumulate(scores)
    rows = [
        [trial.trial_id, number(score), number(high)]
        for trial, score, high in zip(ended, scores, rising, strict=True)
    ]
    caption = "Best so far"
    svg = best_so_far("best-so-far", (caption, sentence), range(1, len(ended) + 1), scores, title)
    picture = Picture(caption, svg, sentence, Table(caption, ["trial", title, "best"], rows))
    curves = _curves([trial for trial in ended if trial.history], title, objective)
    return [Pictures([picture, *curves])]


def _curves(ended, title, objective):
    """Draws the best trials by epoch; nothing if their runs have been deleted."""
    shown_ = completed(ended)[:_CURVES]
    if not shown_:
        return []
    curves = {
        f"trial {trial.trial_id}": (
            [entry["epoch"] for entry in trial.history],
            [entry.get(objective, np.nan) for entry in trial.history],
        )
        for trial in shown_
    }
    epochs = max(len(trial.history) for trial in shown_)
    last = [values for _, values in curves.values() if values[-1] == max(values)]
    sentence = (
        f"{len(last) or 'None'} of the {len(shown_)} best trials were best in their last epoch"
    )
    sentence += "; more epochs may help." if last else "."
    caption = "Epochs of the best trials"
    rows = [
        [f"epoch {e + 1}", *(number(y[e]) if e < len(y) else "–" for _, y in curves.values())]
        for e in range(epochs)
    ]
    svg = lines("trial-epochs", (f"{title} by epoch", sentence), curves, "epoch")
    return [Picture(f"{title} by epoch", svg, sentence, Table(caption, ["", *curves], rows))]


def _tables(tuning, trials, title):
    names = list(tuning.space.entries)
    ranked = completed(trials)
    rows = [
        [
            Cell(trial.trial_id, strong=not place, note="" if place else "best"),
            Cell(number(trial.score), strong=not place),
            f"{best_epoch(trial.history)} of {len(trial.history)}" if trial.history else "–",
            duration(trial.seconds),
            *(short(trial.values[name]) for name in names),
        ]
        for place, trial in enumerate(ranked)
    ]
    columns = ["trial", title, "epoch kept", "time", *map(shown, names)]
    blocks = [Table("Completed trials, the best first", columns, rows)]
    failed = [[t.trial_id, shown(t.message, 300)] for t in trials if t.status == "failed"]
    if failed:
        blocks.append(Table("Trials that failed", ["trial", "why"], failed, words=True))
    ranges = [[shown(name), _range(entry)] for name, entry in tuning.space.to_dict().items()]
    blocks.append(Table("What was searched", ["", "range"], ranges, words=True))
    return blocks


def _range(entry):
    if "choices" in entry:
        return "one of " + ", ".join(shown(short(choice)) for choice in entry["choices"])
    text = f"{short(entry['low'])} to {short(entry['high'])}"
    if entry["step"] is not None:
        text += f" by {short(entry['step'])}"
    return f"{text}, on a log scale" if entry["log"] else text
