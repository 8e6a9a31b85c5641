"""The command `hmar report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.errors import InputError
from pipelines.terminal import prepare_keras, say

# TensorFlow and matplotlib are imported inside the command: `--help` should not wait for them.


def report_command(
    run: Annotated[str, typer.Argument(help="Directory of a run or of an experiment.")],
    output: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.html", help=r"The page. \[default: RUN/report.html]", show_default=False
        ),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(
            help="Whose history is followed through the model, by the log's own id. "
            r"\[default: a test user with many behaviours]",
            show_default=False,
        ),
    ] = None,
    data_dir: Annotated[
        str | None,
        typer.Option(
            help="Directory of the raw files, or the archive, if they have moved since training."
        ),
    ] = None,
):
    """Look at a run or an experiment: one HTML page that opens anywhere, offline too."""
    directory = Path(run)
    kinds = {name: (directory / name).is_file() for name in ("experiment.json", "run.json")}
    if not any(kinds.values()):
        raise InputError(
            f"{directory} is the directory neither of a run nor of an experiment: it holds no "
            "run.json and no experiment.json."
        )
    prepare_keras()
    from pipelines.report.experiment_report import experiment_report
    from pipelines.report.page import check_place, write
    from pipelines.report.run_report import run_report

    path = Path(output) if output else directory / "report.html"
    check_place(path)  # the numbers may take minutes
    report = experiment_report if kinds["experiment.json"] else run_report
    write(report(directory, data_dir, user), path)
    say(f"report: {path}")
