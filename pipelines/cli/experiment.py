"""The command `hmar experiment`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from pipelines.cli.interrupted import if_interrupted, preparing
from pipelines.cli.kept import say_traits, say_what_was_kept
from pipelines.cli.options import new_output
from pipelines.cli.training_options import TrainingOptions, takes_training
from pipelines.runtime.terminal import prepare_keras, say

Suite = Annotated[
    list[str] | None,
    typer.Option(
        help="What to compare; may be repeated. main: HMAR, other models, simple baselines; "
        "ablation: HMAR without one of its parts; protocol: HMAR and the baselines. Every suite "
        r"is evaluated under all protocols. \[default: main]",
        show_default=False,
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option(
        help=r"Runs per variant, with seeds 0, 1, ... \[default: 3]",
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
        help="Continue the experiment in --output, with the same result as without interruption. "
        "More --seeds or another --suite may be given; finished runs are kept.",
    ),
]


@takes_training
def experiment_command(
    training: TrainingOptions,
    suite: Suite = None,
    seeds: Seeds = None,
    output: Output = None,
    resume: Resume = False,
):
    """Train and compare variants over several seeds: the paper's tables for any data."""
    prepare_keras(training.hardware)
    from pipelines.experiments.request import create, resumed
    from pipelines.experiments.table import experiment_tables
    from pipelines.protocol.splits import split

    request = training.request(is_resumed=resume)
    suites = list(dict.fromkeys(suite)) if suite else None
    with preparing():
        if resume:
            experiment, data = resumed(request, output, suites, seeds)
        else:
            directory = output or new_output("experiments", request)
            experiment, data = create(request, directory, suites, seeds)
    say_what_was_kept(data)
    say_traits(split(data, experiment.variants[0].config.split.holdout))
    say(f"experiment: {experiment.path}")
    going_on = f"; continue with the same command and --output {experiment.path} --resume"
    with if_interrupted(lambda: going_on):
        results = experiment.run(say)
    for table in experiment_tables(results):
        Console().print(table)
    say(f"all metrics: {experiment.path / 'results.json'}")
