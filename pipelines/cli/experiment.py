"""The command `hmar experiment`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pipelines.cli.interrupted import if_interrupted, preparing
from pipelines.cli.kept import say_what_was_kept
from pipelines.cli.log_options import takes_log
from pipelines.cli.options import (
    Config,
    DataDir,
    DataOnDevice,
    Dataset,
    Devices,
    Epochs,
    Precision,
    Preset,
    Set,
    StepsPerExecution,
    Xla,
    new_output,
    request_of,
)
from pipelines.runtime.hardware import Hardware
from pipelines.runtime.terminal import prepare_keras, say

if TYPE_CHECKING:
    from pipelines.datasets.event_log import LogSpec

Suite = Annotated[
    list[str] | None,
    typer.Option(
        help="What to compare, may be repeated. main: HMAR, other models, simple baselines; "
        "ablation: HMAR without one of its parts; protocol: HMAR and the baselines. Every suite "
        r"is evaluated under all protocols. \[default: main]",
        show_default=False,
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option(
        help=r"Trainings of each variant, with seeds from 0. \[default: 3]",
        min=1,
        show_default=False,
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        help=r"Directory of the experiment. \[default: experiments/DATASET-TIME]",
        show_default=False,
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue the experiment in --output, with the same result as if it had never been "
        "stopped; with more --seeds or another --suite what has been trained is kept.",
    ),
]


@takes_log
def experiment_command(
    dataset: Dataset = None,
    data_dir: DataDir = None,
    suite: Suite = None,
    seeds: Seeds = None,
    preset: Preset = None,
    config: Config = None,
    set_: Set = None,
    epochs: Epochs = None,
    output: Output = None,
    resume: Resume = False,
    devices: Devices = 1,
    precision: Precision = "float32",
    xla: Xla = None,
    steps_per_execution: StepsPerExecution = None,
    data_on_device: DataOnDevice = None,
    log: LogSpec | None = None,
):
    """Train and compare variants over several seeds: the paper's tables for any data."""
    hardware = Hardware(devices, precision, xla, steps_per_execution, data_on_device)
    prepare_keras(hardware)
    from pipelines.experiments.request import create, resumed
    from pipelines.experiments.table import experiment_tables

    request = request_of(
        dataset, data_dir, preset, config, set_, epochs, 0, log, hardware, resume=resume
    )
    suites = list(dict.fromkeys(suite)) if suite else None
    with preparing():
        if resume:
            experiment, data = resumed(request, output, suites, seeds)
        else:
            directory = output or new_output("experiments", request)
            experiment, data = create(request, directory, suites, seeds)
    say_what_was_kept(data)
    say(f"experiment: {experiment.path}")
    going_on = f"; continue with the same command and --output {experiment.path} --resume"
    with if_interrupted(lambda: going_on):
        results = experiment.run(say)
    for table in experiment_tables(results):
        Console().print(table)
    say(f"all metrics: {experiment.path / 'results.json'}")
