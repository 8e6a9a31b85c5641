"""The command `hmar report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.runtime.errors import InputError
from pipelines.runtime.terminal import prepare_keras, say

# TensorFlow and matplotlib are imported inside the command: `--help` should not wait for them.

_KINDS = ("experiment.json", "tuning.json", "run.json")


def report_command(
    run: Annotated[str, typer.Argument(help="Directory of a run, an experiment or a tuning.")],
    output: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.html",
            help=r"HTML file to write. \[default: RUN/report.html]",
            show_default=False,
        ),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(
            help="User whose history is followed through the model, by the log's own id. "
            r"\[default: a test user with many behaviours]",
            show_default=False,
        ),
    ] = None,
    data_dir: Annotated[
        str | None,
        typer.Option(
            help="Directory with the raw files, or their archive, if moved since training."
        ),
    ] = None,
):
    """Write a report of a run, an experiment or a tuning: one HTML page that works offline."""
    directory = Path(run)
    kind = next((name for name in _KINDS if (directory / name).is_file()), None)
    if kind is None:
        raise InputError(
            f"{directory} is not the directory of a run, an experiment or a tuning: it holds none "
            f"of {', '.join(_KINDS)}."
        )
    prepare_keras()
    from pipelines.report.page import check_place, write

    path = Path(output) if output else directory / "report.html"
    check_place(path)  # fail before minutes of computing, not after
    write(_report(kind)(directory, data_dir, user), path)
    say(f"report: {path}")


def _report(kind):
    """Returns the function that makes the report of a directory with a file of this name."""
    if kind == "experiment.json":
        from pipelines.report.experiment_report import experiment_report as report
    elif kind == "tuning.json":
        from pipelines.report.tuning_report import tuning_report as report
    else:
        from pipelines.report.run_report import run_report as report
    return report
