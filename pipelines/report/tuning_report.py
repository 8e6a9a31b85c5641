"""The report of a search, with that of its best trial below."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.description import counted
from pipelines.errors import InputError
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
from pipelines.report.run_report import sections_of_one
from pipelines.report.search_pictures import best_so_far
from pipelines.report.space_sections import settings_section, together_section
from pipelines.training import best_epoch
from pipelines.tuning.progress import short
from pipelines.tuning.request import Tuning, read_tuning
from pipelines.tuning.trials import Trial, completed, read_trials
from pipelines.validation import MONITORED

_CURVES = 5


def tuning_report(
    path: str | os.PathLike, data_dir: str | None = None, user: str | None = None
) -> str:
    """The page about a search, ended or going on.

    Args:
        path: its directory.
        data_dir: where the dataset's raw files are now, if they have moved.
        user: who is followed through the best trial's run, by the log's own id.

    Raises:
        InputError: if no trial has completed yet, or the best one's run cannot be opened.
    """
    tuning = read_tuning(Path(path))
    trials = read_trials(tuning.path)
    ranked = completed(trials)
    if not ranked:
        raise InputError(f"no trial of {path} has completed yet; come back when one has.")
    summary, sections = tuning_sections(tuning, trials)
    name = f"trial {ranked[0].trial_id}"
    if (ranked[0].run / "model.keras").is_file():
        sections += sections_of_one(ranked[0].run, name, data_dir, user)
    elif user is not None:
        raise InputError(f"{path} has no run of {name} to follow --user through; leave it out.")
    else:
        text = f"The run of {name} is not in this directory, so its own report is left out."
        sections[-1].blocks.append(Paragraph(text))
    content = tuning.content
    title = f"{content['algorithm']} search on {content['dataset']}"
    subtitle = f"{tuning.path.resolve().name}, {counted(len(trials), 'trial')}"
    return render(shown(title), shown(subtitle), summary, sections)


def tuning_sections(tuning: Tuning, trials: Sequence[Trial]) -> tuple[list, list[Section]]:
    """What stands above, and the sections of the search itself."""
    title = objective_title(tuning.content["objective"])
    superseded = {trial.goes_on_with for trial in trials if trial.status == "completed"}
    # In the order in which they were begun; one that another went on with is part of that.
    ended = [
        trial
        for trial in trials
        if trial.status == "completed" and trial.trial_id not in superseded
    ]
    sections = [
        Section("progress", "The search", _progress(ended, title, tuning.content["objective"])),
        settings_section(ended, tuning.space, title),
        together_section(ended, tuning.space, title),
        Section("trials", "All trials", _tables(tuning, trials, title)),
    ]
    return _summary(tuning, trials, title), sections


def objective_title(name: str) -> str:
    """E.g. `NDCG@10, sampled negatives` of `val_sampled_ndcg@10`."""
    if name == MONITORED:
        return "validation score"
    protocol, metric = name.removeprefix("val_").rsplit("_", 1)
    return f"{metric.upper()}, {title_of(protocol)}"


def _summary(tuning, trials, title):
    ranked, began = completed(trials), trials[0]
    failed = [trial for trial in trials if trial.status == "failed"]
    running = len(trials) - len(ranked) - len(failed)
    best = ranked[0]
    tiles = [
        (number(best.score), f"{title}, validation", f"the best: trial {best.trial_id}"),
        (number(began.score), "where the search began", f"trial {began.trial_id}"),
        (f"{len(ranked)} of {tuning.content['max_trials']}", "trials completed",
         f"{len(failed)} failed, {running} not ended"),
        (duration(sum(trial.seconds for trial in trials)), "of training", "all trials together"),
    ]  # fmt: skip
    if best is began:
        text = "No trial was better than the settings that the search began with."
    else:
        changes = ", ".join(f"{name} {short(value)}" for name, value in best.values.items())
        text = f"The best trial has {shown(changes, 400)}."
    caution = (
        "The best of many is partly the luckiest: its score is of the validation questions by "
        "which it was chosen. What it is worth, tests with several seeds tell."
    )
    return [Tiles(tiles), Paragraph(text), Paragraph(caution)]


def _progress(ended, title, objective):
    scores = np.array([trial.score for trial in ended])
    best = int(np.argmax(scores))
    sentence = (
        f"The search begins with {number(scores[0])}; its best, {number(scores[best])}, is trial "
        f"{ended[best].trial_id}, number {best + 1} of {len(ended)}."
    )
    rising = np.maximum.accumulate(scores)
    rows = [
        [trial.trial_id, number(score), number(high)]
        for trial, score, high in zip(ended, scores, rising, strict=True)
    ]
    caption = "Best so far"
    svg = best_so_far("best-so-far", (caption, sentence), range(1, len(ended) + 1), scores, title)
    picture = Picture(caption, svg, sentence, Table(caption, ["trial", title, "best"], rows))
    return [Pictures([picture, _curves(ended, title, objective)])]


def _curves(ended, title, objective):
    """By epoch, of the best trials."""
    shown_ = completed(ended)[:_CURVES]
    curves = {
        f"trial {trial.trial_id}": (
            [entry["epoch"] for entry in trial.history],
            [entry[objective] for entry in trial.history],
        )
        for trial in shown_
    }
    epochs = max(len(trial.history) for trial in shown_)
    last = [trial for trial in shown_ if best_epoch(trial.history) == len(trial.history)]
    sentence = (
        f"{len(last) or 'None'} of the {len(shown_)} best trials were best in their last epoch"
    )
    sentence += "; longer ones may be better yet." if last else "."
    caption = "Epochs of the best trials"
    rows = [
        [f"epoch {e + 1}", *(number(y[e]) if e < len(y) else "–" for _, y in curves.values())]
        for e in range(epochs)
    ]
    svg = lines("trial-epochs", (f"{title} by epoch", sentence), curves, "epoch")
    return Picture(f"{title} by epoch", svg, sentence, Table(caption, ["", *curves], rows))


def _tables(tuning, trials, title):
    names = list(tuning.space.entries)
    ranked = completed(trials)
    rows = [
        [
            Cell(trial.trial_id, strong=not place, note="" if place else "best"),
            Cell(number(trial.score), strong=not place),
            f"{best_epoch(trial.history)} of {len(trial.history)}",
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
    return f"{text}, each doubling as likely as the next" if entry["log"] else text
