"""The commands `hmar data ...`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from pipelines.cli.interrupted import preparing
from pipelines.cli.kept import say_what_was_kept
from pipelines.cli.log_options import takes_log
from pipelines.cli.options import DataDir
from pipelines.datasets import DATASETS, load_chosen
from pipelines.datasets.event_log import BeamSettings
from pipelines.runtime.errors import InputError
from pipelines.runtime.terminal import prepare_keras, say

if TYPE_CHECKING:
    from pipelines.datasets.event_log import LogSpec

# TensorFlow and matplotlib are imported inside the commands: `--help` should not wait for them.

data_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="List datasets; prepare or describe one before training on it.",
)

Dataset = Annotated[
    str | None,
    typer.Argument(metavar="[DATASET]", help="Dataset name, see hmar data list; or give a --log."),
]


@data_app.command("list")
def list_command():
    """List the datasets that are available by name."""
    table = Table(box=box.SIMPLE)
    for column in ("name", "what it is", "files"):
        table.add_column(column)
    for name, entry in DATASETS.items():
        names = [f"{name}/{config}" for config in entry.configs] or [name]
        files = "must be given (--data-dir)" if entry.needs_files else "generated or downloaded"
        table.add_row("\n".join(names), entry.description, files)
    Console().print(table)


@data_app.command("prepare")
@takes_log
def prepare_command(
    dataset: Dataset = None,
    data_dir: DataDir = None,
    beam_runner: Annotated[
        str | None,
        typer.Option(
            metavar="RUNNER",
            help="Prepare on Apache Beam: DirectRunner, DataflowRunner, FlinkRunner, SparkRunner.",
        ),
    ] = None,
    beam_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FLAG",
            help="Flag for the runner; may be repeated: --beam-option=--direct_num_workers=4",
        ),
    ] = None,
    log: LogSpec | None = None,
):
    """Read, check, clean and sort a dataset, and store it for later commands."""
    beam = None
    if beam_runner:
        beam = BeamSettings(beam_runner, tuple(beam_option or ()))
    elif beam_option:
        raise InputError("--beam-option needs a --beam-runner; give it as well.")
    prepare_keras()
    with preparing():
        data = load_chosen(dataset, data_dir, log, beam)
    say_what_was_kept(data)


@data_app.command("describe")
@takes_log
def describe_command(
    dataset: Dataset = None,
    data_dir: DataDir = None,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.png",
            help=r"Picture to write. \[default: DATASET.png in this directory]",
            show_default=False,
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
    log: LogSpec | None = None,
):
    """Show what is in a dataset: a table in the terminal and a picture."""
    prepare_keras()
    from pipelines.datasets.event_log.files import find_files, log_name
    from pipelines.description.numbers import describe
    from pipelines.description.picture import check_place, draw
    from pipelines.description.table import description_table

    name = dataset or (log_name(find_files(log.files)[0]) if log else "dataset")
    picture = Path(output or f"{name.replace('/', '-')}.png")
    check_place(picture)  # fail before minutes of preparation, not after
    with preparing():
        data = load_chosen(dataset, data_dir, log)
    if data.report:
        say_what_was_kept(data)
    description = describe(data)
    if json_:
        print(json.dumps(description.to_dict()))
    else:
        Console().print(description_table(description))
    draw(description, picture)
    say(f"picture: {picture}")
