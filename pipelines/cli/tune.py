"""The command `hmar tune`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.cli.added_options import add_options
from pipelines.cli.interrupted import if_interrupted, preparing
from pipelines.cli.kept import say_traits, say_what_was_kept
from pipelines.cli.options import Model, Seed, new_output
from pipelines.cli.training_options import TrainingOptions, takes_training
from pipelines.runtime.errors import InputError
from pipelines.runtime.printable import printable
from pipelines.runtime.terminal import prepare_keras, say

_SHOWN = 5

Algorithm = Annotated[
    str | None,
    typer.Option(help=r"random, bayesian or hyperband. \[default: bayesian]", show_default=False),
]
MaxTrials = Annotated[
    int | None,
    typer.Option(help=r"Number of trials. \[default: 20]", min=1, show_default=False),
]
Objective = Annotated[
    str | None,
    typer.Option(
        help="Metric to maximise: val_ndcg@10 over the whole catalogue, as for early stopping; or "
        "val_sampled_ndcg@10, val_full_hr@10, val_full_unseen_ndcg@10, ..., of the same epoch. "
        r"\[default: val_ndcg@10]",
        show_default=False,
    ),
]
Space = Annotated[
    str | None,
    typer.Option(
        help='JSON file of ranges: {"theta": {"low": 0.01, "high": 1, "log": true}, "dim": '
        r'{"choices": \[32, 64]}, "alpha": true}; true means the usual range.'
    ),
]
Over = Annotated[
    list[str] | None,
    typer.Option(
        help="Search only this setting; may be repeated: --over alpha --over beta --over theta. "
        "alpha has a value per behaviour. By default all settings with a usual range."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        help=r"Processes on this machine that run trials in parallel. \[default: 1]",
        min=1,
        show_default=False,
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        help=r"Directory of the search. \[default: tunings/DATASET-TIME]", show_default=False
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue the search in --output. Finished trials are kept; a higher --max-trials "
        "adds more.",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Delete an earlier search in --output first.")
]


def _takes_search(command):
    """Adds the options for `Asked` to a command, as its one argument `search`."""
    options = {
        "algorithm": (Algorithm, None),
        "max_trials": (MaxTrials, None),
        "objective": (Objective, None),
        "space": (Space, None),
        "over": (Over, None),
    }
    return add_options(command, "search", options, _search_of)


def _search_of(values):
    return {**values, "over": tuple(values["over"]) if values["over"] else None}


@takes_training
@_takes_search
def tune_command(
    training: TrainingOptions,
    search: dict,
    workers: Workers = None,
    model: Model = None,
    seed: Seed = 0,
    output: Output = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
):
    """Search for settings with KerasTuner, starting from those that hmar train would use.

    If KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT are set, this is the
    chief or a worker of a search on several machines, which share the directory --output.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # workers share a GPU
    if resume and overwrite:
        raise InputError("--resume and --overwrite exclude each other; give one of them.")
    prepare_keras()
    from pipelines.protocol.splits import split
    from pipelines.tuning.request import FILE, Asked, create, resumed
    from pipelines.tuning.search import Search, role

    own_role = role()
    if own_role and (output is None or workers is not None):
        raise InputError(
            "a search on several machines needs the same --output on each and no --workers."
        )
    if own_role == "worker":  # which gets everything else from its chief
        return _work(output, overwrite)
    training.hardware.prepare()
    asked = Asked(**search)
    # A restarted chief runs the same command, so --resume must also work the first time.
    resume = resume and not (own_role and not (Path(output) / FILE).exists())
    request = training.request(seed, model, resume)
    with preparing():
        if resume:
            tuning, data = resumed(request, asked, output)
        else:
            output = output or new_output("tunings", request)
            tuning, data = create(request, asked, output, overwrite)
    say_what_was_kept(data)
    say_traits(split(data, tuning.space.base.split.holdout))
    say(f"tuning: {tuning.path}")
    going_on = f"; continue with the same command and --output {tuning.path} --resume"
    with if_interrupted(lambda: going_on):
        trials = Search(tuning, None if own_role else workers or 1).run()
    _print_best(tuning, trials)


def _work(output, overwrite):
    if overwrite:
        raise InputError("a worker never deletes a search; give --overwrite to the chief.")
    from pipelines.tuning.worker import work

    work(Path(output))


def _print_best(tuning, trials):
    from pipelines.tuning.progress import short
    from pipelines.tuning.trials import BEST, TRIALS, completed

    names = list(tuning.space.entries)
    table = Table(box=box.SIMPLE_HEAD, title=f"{len(completed(trials))} of {len(trials)} completed")
    for name in ("trial", tuning.content["objective"], *names):
        table.add_column(Text(printable(name)), justify="right")
    for trial in completed(trials)[:_SHOWN]:
        shown = [short(trial.values[name]) for name in names]
        table.add_row(trial.trial_id, f"{trial.score:.4f}", *shown)
    Console().print(table)
    say(f"all trials: {tuning.path / TRIALS}; view them with hmar report {tuning.path}")
    say(f"train the best: hmar train --config {tuning.path / BEST}, with the same dataset")
