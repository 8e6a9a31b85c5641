"""Options that several commands have, each once."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    str | None,
    typer.Option(
        help="Directory of the raw files, or the archive. Without it they are downloaded."
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="hmar, sasrec, gsasrec or your own (see hmar --import), whatever --preset and "
        "--config say. --set input_behaviors=target shows it the target behaviour alone."
    ),
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.", min=0)]
Output = Annotated[
    str | None,
    typer.Option(help=r"Directory of the run. \[default: runs/DATASET-TIME]", show_default=False),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue the interrupted run in --output. On the same hardware the result is the "
        "same bit for bit; other --devices, --xla or --steps-per-execution change its last digits, "
        "and --data-on-device draws other negatives.",
    ),
]
History = Annotated[
    str,
    typer.Option(
        help="Events, oldest first: 'item:behaviour,item:behaviour', or as JSON: "
        r'\[\["item", "behaviour"], ...].'
    ),
]
K = Annotated[int, typer.Option("-k", help="How many items.", min=1, max=(1 << 31) - 1)]
User = Annotated[
    str | None,
    typer.Option(
        help="Whose history it is, of a model that reads users; without it a stranger's.",
        show_default=False,
    ),
]
Times = Annotated[
    str | None,
    typer.Option(
        metavar="TIME,TIME",
        help="When the events were, of a model that reads times; whole numbers, in the log's unit.",
        show_default=False,
    ),
]
ExcludeSeen = Annotated[
    bool, typer.Option("--exclude-seen", help="Leave out the items of the history.")
]


def new_output(parent: str, request) -> Path:
    """A directory named after the dataset and the time."""
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    name = request.dataset
    if request.log:
        from pipelines.datasets.event_log.files import dataset_name

        name = dataset_name(request.log.files)
    return Path(parent) / f"{name.replace('/', '-')}-{now}"
