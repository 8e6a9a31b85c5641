"""The options with which a command says what is trained: data, settings, hardware."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.added_options import add_options
from pipelines.cli.log_options import LOG_OPTIONS, log_of
from pipelines.cli.options import DataDir
from pipelines.datasets import DATASETS
from pipelines.runtime.hardware import PRECISIONS, Hardware

if TYPE_CHECKING:
    from pipelines.datasets.event_log import LogSpec
    from pipelines.workflow.request import Request

DEFAULT_DATASET = "synthetic_shop"

Dataset = Annotated[
    str | None,
    typer.Option(
        help=f"One of {', '.join(DATASETS)}; hmar data list says more. "
        rf"\[default: {DEFAULT_DATASET}, unless there is a --log]",
        show_default=False,
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        help="Settings of the paper: taobao, tianchi, yelp or movielens; or of another model: "
        "sasrec or gsasrec. Without it, those that fit the dataset."
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
Epochs = Annotated[
    int | None, typer.Option(help="At most this many; training stops early by itself.", min=1)
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
_OPTIONS = {
    "dataset": (Dataset, None),
    "data_dir": (DataDir, None),
    "preset": (Preset, None),
    "config": (Config, None),
    "set_": (Set, None),
    "epochs": (Epochs, None),
    "devices": (Devices, 1),
    "precision": (Precision, "float32"),
    "xla": (Xla, None),
    "steps_per_execution": (StepsPerExecution, None),
    "data_on_device": (DataOnDevice, None),
}


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """What the options of a command say.

    Args:
        dataset: a name, or None.
        data_dir: where its raw files are.
        preset: name of settings.
        config_file: a file of settings.
        assignments: `field=value`.
        epochs: at most this many.
        hardware: what to train on.
        log: the user's own log, or None.
    """

    dataset: str | None
    data_dir: str | None
    preset: str | None
    config_file: str | None
    assignments: tuple[str, ...]
    epochs: int | None
    hardware: Hardware
    log: LogSpec | None

    def request(self, seed: int = 0, model: str | None = None, is_resumed: bool = False) -> Request:
        """Makes the request; what is resumed has its own dataset by default.

        Args:
            seed: of everything random.
            model: a name, or None for what the settings say.
            is_resumed: whether it continues something.
        """
        from pipelines.workflow.request import Request

        asked = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if self.log is None and not is_resumed:
            asked["dataset"] = self.dataset or DEFAULT_DATASET
        return Request(**asked, seed=seed, model=model)


def takes_training(command):
    """Gives a command these options and those of a log, as one argument `training`.

    Raises:
        InputError: from the command, if the options do not fit together.
    """
    return add_options(command, "training", {**_OPTIONS, **LOG_OPTIONS}, _of)


def _of(values):
    log = log_of({name: values.pop(name) for name in LOG_OPTIONS})
    hardware = Hardware(
        values["devices"],
        values["precision"],
        values["xla"],
        values["steps_per_execution"],
        values["data_on_device"],
    )
    return TrainingOptions(
        values["dataset"],
        values["data_dir"],
        values["preset"],
        values["config"],
        tuple(values["set_"] or ()),
        values["epochs"],
        hardware,
        log,
    )
