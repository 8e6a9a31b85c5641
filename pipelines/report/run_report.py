"""The report of one run."""

from __future__ import annotations

import os
from pathlib import Path

from pipelines.description.numbers import describe
from pipelines.report.answers import answer_all
from pipelines.report.behavior_head import predict_behaviors
from pipelines.report.elements import Paragraph, Section, shown
from pipelines.report.memory_section import memory_section
from pipelines.report.model_sections import (
    behavior_section,
    gates_section,
    training_section,
)
from pipelines.report.one_user import choose_question, find_question, walk_through
from pipelines.report.opened_run import OpenedRun, open_run
from pipelines.report.page import render
from pipelines.report.result_sections import (
    Results,
    curves_section,
    groups_section,
    headline,
    results_section,
)
from pipelines.report.run_sections import data_section, settings_section
from pipelines.report.user_section import user_section
from pipelines.runtime.errors import InputError


def run_report(
    path: str | os.PathLike, data_dir: str | None = None, user: str | None = None
) -> str:
    """Renders the report of a run.

    Args:
        path: its directory.
        data_dir: where the dataset's raw files are now, if they have moved.
        user: the log's id of the user to follow through the model; None to choose one.

    Raises:
        InputError: if there is no such run or user, the run is not finished, or its dataset
            cannot be loaded.
    """
    run = open_run(path, data_dir)
    summary, sections = run_sections(run, user)
    title = f"{run.model_name} on {shown(run.dataset.name)}"
    subtitle = f"{run.directory.path.resolve().name}, seed {run.seed}"
    return render(title, shown(subtitle), summary, sections)


def is_whole(run: Path) -> bool:
    """Tells whether a directory holds a finished run."""
    return all((run / name).is_file() for name in ("run.json", "model.keras"))


def add_one_run(
    sections: list[Section],
    path: Path,
    run: Path | None,
    name: str,
    data_dir: str | None,
    user: str | None,
) -> None:
    """Adds the report of one run to a page about several.

    Args:
        sections: sections of the page so far; extended in place.
        path: directory of the experiment or search that the page is about.
        run: directory of the run; None if there is none.
        name: which run it is, in words.
        data_dir: as in `run_report`.
        user: as in `run_report`.

    Raises:
        InputError: as in `run_report`, or if a user is to be followed and there is no complete run.
    """
    if run and is_whole(run):
        opened = open_run(run, data_dir)
        above, below = run_sections(opened, user)
        lead = Paragraph(f"Everything below is about this one run: {name}, seed {opened.seed}.")
        sections += [Section("one-run", f"One run: {name}", [lead, *above]), *below]
    elif user is not None:
        raise InputError(f"{path} has no run of {name} to follow --user through; omit that option.")
    else:
        text = f"The run of {name} is not in this directory, so its report is left out."
        sections[-1].blocks.append(Paragraph(text))


def run_sections(run: OpenedRun, user: str | None = None) -> tuple[list, list[Section]]:
    """Returns the summary and all sections of a run's report."""
    question = choose_question(run) if user is None else find_question(run, user)
    answers = answer_all(run)
    parts = {part: Results(each) for part, each in answers.items()}
    test = answers["test"]
    sections = [results_section(parts), curves_section(test), groups_section(test)]
    sections.append(training_section(run.history))
    if run.predicts_behavior:
        sections.append(behavior_section(run, predict_behaviors(run)))
    sections += [gates_section(run), memory_section(run)]
    sections.append(user_section(run, test, walk_through(run, question), user is not None))
    sections += [data_section(describe(run.source)), settings_section(run)]
    return headline(parts["test"]), [section for section in sections if section]
