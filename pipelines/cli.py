"""The command `hmar`."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pipelines.data_cli import data_app
from pipelines.datasets import DATASETS
from pipelines.errors import InputError
from pipelines.hardware import PRECISIONS, Hardware
from pipelines.log_options import takes_log
from pipelines.report_cli import report_command
from pipelines.terminal import prepare_keras, say, say_what_was_kept

if TYPE_CHECKING:
    from pipelines.datasets.event_log import LogSpec

# Keras is imported inside the commands: `--help` and a misspelt option should not wait for it.

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="HMAR: multi-behaviour sequential recommendation, from interaction logs to a SavedModel. "
    "Begin with: [bold]hmar run[/bold]",
)

app.add_typer(data_app, name="data")

_DEFAULT_DATASET = "synthetic_shop"

Dataset = Annotated[
    str | None,
    typer.Option(
        help=f"One of {', '.join(DATASETS)}; hmar data list says more. "
        rf"\[default: {_DEFAULT_DATASET}, unless there is a --log]",
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
        help="Settings of the paper: taobao, tianchi, yelp or movielens. "
        "Without it, those that fit the dataset."
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
        "same bit for bit; other --devices, --xla or --steps-per-execution change its last digits.",
    ),
]
Models = Annotated[str, typer.Option(help="Where models are exported to, as MODELS/NAME/VERSION.")]
Run = Annotated[str, typer.Argument(help="Directory of a run, see --output of hmar train.")]
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
        help="At most this many steps without Python between them; they must divide the steps of "
        r"an epoch. \[default: 16 on one GPU under TensorFlow, otherwise 1]",
        show_default=False,
        min=1,
        rich_help_panel=_HARDWARE,
    ),
]


@app.command("run")
@takes_log
def run_command(
    dataset: Dataset = None,
    data_dir: DataDir = None,
    preset: Preset = None,
    config: Config = None,
    set_: Set = None,
    seed: Seed = 0,
    epochs: Epochs = None,
    output: Output = None,
    resume: Resume = False,
    devices: Devices = 1,
    precision: Precision = "float32",
    xla: Xla = None,
    steps_per_execution: StepsPerExecution = None,
    models: Models = "saved_models",
    log: LogSpec | None = None,
):
    """Everything: train, evaluate, export, and answer one user from the export."""
    hardware = Hardware(devices, precision, xla, steps_per_execution)
    prepare_keras(hardware)
    from pipelines.export import make_temporary

    request = _request(dataset, data_dir, preset, config, set_, epochs, seed, log, hardware)
    make_temporary(models).rmdir()  # hours of training must not end in an unwritable directory
    run, data, model = _train(request, output, resume)
    _evaluate(run, data, model)
    directory = Path(models) / data.name.replace("/", "-")
    if os.environ["KERAS_BACKEND"] == "tensorflow":
        version = _export(run, data, model, directory)
    else:
        version = _export_in_tensorflow(run, data_dir, directory)
    _answer_example(data, version)


@app.command("train")
@takes_log
def train_command(
    dataset: Dataset = None,
    data_dir: DataDir = None,
    preset: Preset = None,
    config: Config = None,
    set_: Set = None,
    seed: Seed = 0,
    epochs: Epochs = None,
    output: Output = None,
    resume: Resume = False,
    devices: Devices = 1,
    precision: Precision = "float32",
    xla: Xla = None,
    steps_per_execution: StepsPerExecution = None,
    log: LogSpec | None = None,
):
    """Train, with early stopping on the validation split."""
    hardware = Hardware(devices, precision, xla, steps_per_execution)
    prepare_keras(hardware)
    request = _request(dataset, data_dir, preset, config, set_, epochs, seed, log, hardware)
    _train(request, output, resume)


@app.command("evaluate")
def evaluate_command(run: Run, data_dir: DataDir = None):
    """Results on validation and test under both protocols, beside the baselines'."""
    prepare_keras()
    from pipelines import workflow
    from pipelines.run_directory import RunDirectory

    directory = RunDirectory.open(run)
    model = workflow.load_model(directory)
    _evaluate(directory, workflow.load_run_dataset(directory, data_dir), model)


@app.command("export")
def export_command(
    run: Run,
    models: Models = "saved_models",
    name: Annotated[
        str | None, typer.Option(help=r"Name of the model. \[default: the dataset's]")
    ] = None,
    data_dir: DataDir = None,
):
    """Write a SavedModel for TensorFlow Serving, in TensorFlow whatever trained the model."""
    prepare_keras(backend="tensorflow")
    from pipelines import workflow
    from pipelines.run_directory import RunDirectory

    directory = RunDirectory.open(run)
    model = workflow.load_model(directory)
    data = workflow.load_run_dataset(directory, data_dir)
    _export(directory, data, model, Path(models) / (name or data.name.replace("/", "-")))


@app.command("recommend")
def recommend_command(
    model: Annotated[str, typer.Option(help="Exported model, saved_models/NAME or a version.")],
    history: Annotated[
        str,
        typer.Option(
            help="Events, oldest first: 'item:behaviour,item:behaviour', or as JSON: "
            r'\[\["item", "behaviour"], ...].'
        ),
    ],
    k: Annotated[int, typer.Option("-k", help="How many items.", min=1)] = 10,
    exclude_seen: Annotated[
        bool, typer.Option("--exclude-seen", help="Leave out the items of the history.")
    ] = False,
):
    """Answer from an exported model alone."""
    prepare_keras(backend="tensorflow")
    from pipelines.recommender import Recommender, parse_history

    recommender = Recommender(model)
    events = parse_history(history, recommender.behaviors)
    unknown = sorted({item for item, _ in events} - recommender.vocabulary)
    if unknown:
        say(f"not in the catalogue, left out: {', '.join(unknown)}")
    _print_answer(recommender(events, k, exclude_seen))


app.command("report")(report_command)


def main():
    """Runs the command; bad input ends in one sentence and exit status 2."""
    try:
        app()
    except InputError as error:
        print(f"hmar: {error}", file=sys.stderr)
        sys.exit(2)


def _request(dataset, data_dir, preset, config, assignments, epochs, seed, log, hardware):
    from pipelines import workflow

    if log is None:
        dataset = dataset or _DEFAULT_DATASET
    assignments = tuple(assignments or ())
    return workflow.Request(
        dataset, data_dir, preset, config, assignments, epochs, seed, log, hardware
    )


def _train(request, output, resume):
    from pipelines import workflow

    if resume:
        if output is None:
            raise InputError("--resume needs the directory of the run as --output.")
        run, data = workflow.resume(request, output)
    else:
        run, data = workflow.start(request, output or _new_output(request))
    say_what_was_kept(data)
    say(f"run directory: {run.path}")
    try:
        model = workflow.train_run(run, data, request.hardware)
    except KeyboardInterrupt:
        say(
            f"interrupted after {len(run.history())} finished epochs; continue with the same "
            f"command and --output {run.path} --resume"
        )
        sys.exit(130)
    return run, data, model


def _new_output(request):
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    name = request.dataset
    if request.log:
        from pipelines.datasets.event_log.files import dataset_name

        name = dataset_name(request.log.files)
    return Path("runs") / f"{name.replace('/', '-')}-{now}"


def _evaluate(run, data, model):
    from pipelines import workflow
    from pipelines.results_table import results_table

    results = workflow.evaluate_run(run, data, model)
    for part in ("validation", "test"):
        Console().print(results_table(part, results[part]))
    say(f"all metrics: {run.path / 'metrics.json'}")


def _export(run, data, model, directory):
    from pipelines import workflow

    version = workflow.export_run(run, data, model, directory)
    say(f"exported: {version}")
    return version


def _export_in_tensorflow(run, data_dir, directory):
    """Has `hmar export` write the SavedModel, which no other backend can, in its own process."""
    from pipelines.export import versions

    command = [sys.executable, "-c", "from pipelines.cli import main; main()", "export"]
    command += [str(run.path), "--models", str(directory.parent), "--name", directory.name]
    if data_dir:
        command += ["--data-dir", data_dir]
    # Without the GPU, whose memory this process holds.
    process = subprocess.run(command, env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"})
    if process.returncode:
        sys.exit(process.returncode)
    return directory / str(max(versions(directory)))


def _answer_example(data, version):
    """Shows that the export answers, with the last events of the dataset's first user."""
    from pipelines.recommender import Recommender, format_history

    last = slice(max(data.offsets[0], data.offsets[1] - 3), data.offsets[1])
    items = data.items[data.item_ids[last] - 1]
    behaviors = [data.behaviors.names[row - 1] for row in data.behavior_ids[last]]
    history = list(zip(items.tolist(), behaviors, strict=True))
    text = format_history(history).replace("'", "'\\''")
    seen = "" if data.repeats else " --exclude-seen"
    say(f"\nhmar recommend --model {version.parent} --history '{text}' -k 5{seen}")
    _print_answer(Recommender(version)(history, 5, not data.repeats))


def _print_answer(answer):
    for item, score in answer:
        print(f"{item}\t{score:.4f}")
