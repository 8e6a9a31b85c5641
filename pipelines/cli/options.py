"""Options that several commands share."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    str | None,
    typer.Option(
        help="Directory with the raw files, or their archive. By default those used in training, "
        "or else a download."
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="hmar, sasrec, gsasrec or a custom model (see hmar --import); overrides --preset and "
        "--config. With --set input_behaviors=target it reads only target-behaviour events."
    ),
]
Seed = Annotated[int, typer.Option(help="Random seed; the same seed gives the same result.", min=0)]
Output = Annotated[
    str | None,
    typer.Option(help=r"Run directory. \[default: runs/DATASET-TIME]", show_default=False),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue the interrupted run in --output. On the same hardware the result is the "
        "same bit for bit; other --devices, --xla or --steps-per-execution change the last digits, "
        "and another --data-on-device draws different negatives.",
    ),
]
History = Annotated[
    str,
    typer.Option(
        help="Events, oldest first: 'item:behaviour,item:behaviour', or as JSON: "
        r'\[\["item", "behaviour"], ...].'
    ),
]
K = Annotated[int, typer.Option("-k", help="Number of items to return.", min=1, max=(1 << 31) - 1)]
User = Annotated[
    str | None,
    typer.Option(
        help="The user, for a model that reads users. By default an unknown one.",
        show_default=False,
    ),
]
Times = Annotated[
    str | None,
    typer.Option(
        metavar="TIME,TIME",
        help="Times of the events, for a model that reads times; integers in the log's unit.",
        show_default=False,
    ),
]
ExcludeSeen = Annotated[
    bool, typer.Option("--exclude-seen", help="Leave out items that are in the history.")
]


def new_output(parent: str, request) -> Path:
    """Returns the path of a directory named after the dataset and the time."""
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    name = request.dataset
    if request.log:
        from pipelines.datasets.event_log.files import dataset_name

        name = dataset_name(request.log.files)
    return Path(parent) / f"{name.replace('/', '-')}-{now}"
