"""Options that several commands have, each once, and what they become."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated

import typer

from pipelines.datasets import DATASETS
from pipelines.runtime.hardware import PRECISIONS, Hardware

DEFAULT_DATASET = "synthetic_shop"

Dataset = Annotated[
    str | None,
    typer.Option(
        help=f"One of {', '.join(DATASETS)}; hmar data list says more. "
        rf"\[default: {DEFAULT_DATASET}, unless there is a --log]",
        show_default=False,
    ),
]
DataDir = Annotated[
    str | None,
    typer.Option(
        help="Directory of the raw files, or the archive. Without it they are downloaded."
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        help="Settings of the paper: taobao, tianchi, yelp or movielens; or of another model: "
        "sasrec or gsasrec. Without it, those that fit the dataset."
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="hmar, sasrec, gsasrec or your own (see hmar --import), whatever --preset and "
        "--config say. --set events=target shows it the target behaviour alone."
    ),
]
Config = Annotated[
    str | None,
    typer.Option(help="JSON file of settings, for instance the config.json of another run."),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="One setting, may be repeated: --set dim=32 --set alpha.buy=0.8",
    ),
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.", min=0)]
Epochs = Annotated[
    int | None, typer.Option(help="At most this many; training stops early by itself.", min=1)
]
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
        "--data-on-device draws other negatives.",
    ),
]
_HARDWARE = "Hardware"
Devices = Annotated[
    int,
    typer.Option(
        help="Share every batch among this many GPUs; without GPUs among parts of the CPU, to "
        "try it out.",
        min=1,
        rich_help_panel=_HARDWARE,
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        help=f"What the model computes in: {', '.join(PRECISIONS)}. The saved model is float32.",
        rich_help_panel=_HARDWARE,
    ),
]
Xla = Annotated[
    bool | None,
    typer.Option(
        "--xla/--no-xla",
        help="Compile the training step with XLA. By default on a GPU and under JAX.",
        show_default=False,
        rich_help_panel=_HARDWARE,
    ),
]
StepsPerExecution = Annotated[
    int | None,
    typer.Option(
        help="At most this many steps without Keras between them; where the host makes the "
        r"batches, as many as divide the steps of an epoch. \[default: 16 on one GPU, otherwise 1]",
        show_default=False,
        min=1,
        rich_help_panel=_HARDWARE,
    ),
]
DataOnDevice = Annotated[
    bool | None,
    typer.Option(
        "--data-on-device/--no-data-on-device",
        help="Keep the log in the device's memory and make the batches there. Under JAX alone, and "
        "by default on one GPU.",
        show_default=False,
        rich_help_panel=_HARDWARE,
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
ExcludeSeen = Annotated[
    bool, typer.Option("--exclude-seen", help="Leave out the items of the history.")
]


def request_of(
    dataset: str | None,
    data_dir: str | None,
    preset: str | None,
    config: str | None,
    assignments: list[str] | None,
    epochs: int | None,
    seed: int,
    log,
    hardware: Hardware,
    model: str | None = None,
    resume: bool = False,
):
    """Makes the `workflow.Request` of options; what is resumed has its dataset by default."""
    from pipelines.workflow.runs import Request

    if log is None and not resume:
        dataset = dataset or DEFAULT_DATASET
    assignments = tuple(assignments or ())
    return Request(
        dataset, data_dir, preset, config, assignments, epochs, seed, model, log, hardware
    )


def new_output(parent: str, request) -> Path:
    """A directory named after the dataset and the time."""
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    name = request.dataset
    if request.log:
        from pipelines.datasets.event_log.files import dataset_name

        name = dataset_name(request.log.files)
    return Path(parent) / f"{name.replace('/', '-')}-{now}"
