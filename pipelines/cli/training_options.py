"""Options that say what to train: data, settings, hardware."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.added_options import add_options
from pipelines.cli.explained_defaults import explain_defaults
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
        help=f"One of {', '.join(DATASETS)}; see hmar data list. "
        rf"\[default: {DEFAULT_DATASET}, unless --log is given]",
        show_default=False,
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        help="Settings of the paper (taobao, tianchi, yelp, movielens) or of another model "
        "(sasrec, gsasrec). By default those that follow from the log, see --explain-defaults."
    ),
]
ExplainDefaults = Annotated[
    bool,
    typer.Option(
        "--explain-defaults",
        help="Print the settings that follow from the log and the rule behind each, and exit.",
    ),
]
Config = Annotated[
    str | None,
    typer.Option(help="JSON file of settings, such as the config.json of another run."),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Change one setting; may be repeated: --set dim=32 --set alpha.buy=0.8",
    ),
]
Epochs = Annotated[
    int | None, typer.Option(help="Maximum number of epochs; training may stop earlier.", min=1)
]
_HARDWARE = "Hardware"
Devices = Annotated[
    int,
    typer.Option(
        help="Split every batch over this many GPUs; without GPUs, over logical CPU devices, for "
        "testing.",
        min=1,
        rich_help_panel=_HARDWARE,
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        help=f"Compute precision: {', '.join(PRECISIONS)}. The saved model is always float32.",
        rich_help_panel=_HARDWARE,
    ),
]
Xla = Annotated[
    bool | None,
    typer.Option(
        "--xla/--no-xla",
        help="Compile the training step with XLA. Default: on one GPU and under JAX.",
        show_default=False,
        rich_help_panel=_HARDWARE,
    ),
]
StepsPerExecution = Annotated[
    int | None,
    typer.Option(
        help="Maximum number of steps to run without returning to Keras; where the host makes the "
        r"batches, a divisor of the steps per epoch. \[default: 16 on one GPU, otherwise 1]",
        show_default=False,
        min=1,
        rich_help_panel=_HARDWARE,
    ),
]
DataOnDevice = Annotated[
    bool | None,
    typer.Option(
        "--data-on-device/--no-data-on-device",
        help="Keep the log in device memory and make the batches there. Only under JAX on one "
        "device; the default on one GPU.",
        show_default=False,
        rich_help_panel=_HARDWARE,
    ),
]
_OPTIONS = {
    "dataset": (Dataset, None),
    "data_dir": (DataDir, None),
    "preset": (Preset, None),
    "explain_defaults": (ExplainDefaults, False),
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
    """The values of a command's training options.

    Args:
        dataset: name of a dataset, or None.
        data_dir: directory of its raw files, or their archive.
        preset: name of a preset.
        config_file: path of a JSON file of settings.
        assignments: settings as `field=value`.
        epochs: maximum number of epochs.
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
        """Returns the request; only a new training gets the default dataset.

        Args:
            seed: random seed.
            model: name of a model, or None for that of the settings.
            is_resumed: whether the request continues something, which has its own dataset.
        """
        from pipelines.workflow.request import Request

        asked = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if self.log is None and not is_resumed:
            asked["dataset"] = self.dataset or DEFAULT_DATASET
        return Request(**asked, seed=seed, model=model)


def takes_training(command):
    """Adds these options and those of a log to a command, as its one argument `training`.

    With `--explain-defaults` the command does that alone.

    Raises:
        InputError: when the command is called, if the options do not fit together.
    """
    return add_options(command, "training", {**_OPTIONS, **LOG_OPTIONS}, _of)


def _of(values):
    log = log_of({name: values.pop(name) for name in LOG_OPTIONS})
    if values["explain_defaults"]:
        dataset = None if log else values["dataset"] or DEFAULT_DATASET
        explain_defaults(dataset, values["data_dir"], log)
        raise typer.Exit
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
