"""The command `hmar`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines.cli.data import data_app
from pipelines.cli.experiment import experiment_command
from pipelines.cli.history_text import format_history, parse_history, parse_times
from pipelines.cli.interrupted import if_interrupted, preparing, repeat_lost_interrupts
from pipelines.cli.kept import say_traits, say_what_was_kept
from pipelines.cli.options import (
    DataDir,
    ExcludeSeen,
    History,
    K,
    Model,
    Output,
    Resume,
    Seed,
    Times,
    User,
    new_output,
)
from pipelines.cli.report import report_command
from pipelines.cli.rollout import rollout_command
from pipelines.cli.serve import client_command, serve_command
from pipelines.cli.training_options import TrainingOptions, takes_training
from pipelines.cli.tune import tune_command
from pipelines.runtime.errors import InputError
from pipelines.runtime.model_name import check_model_name
from pipelines.runtime.own_models import VARIABLE, choose_files, files_of_environment
from pipelines.runtime.printable import check_text, printable
from pipelines.runtime.retrievals import PRODUCT, RETRIEVALS, check_retrieval
from pipelines.runtime.terminal import prepare_keras, print_answer, say
from pipelines.storage.disk_errors import errors_as_sentences

# Keras is imported inside the commands: `--help` and a misspelt option should not wait for it.

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="HMAR: multi-behaviour sequential recommendation, from interaction logs to a SavedModel. "
    "Start with: [bold]hmar run[/bold]",
)


@app.callback()
def before_any_command(
    import_: Annotated[
        list[Path] | None,
        typer.Option(
            "--import",
            metavar="FILE.py",
            help="Python file that registers custom models, see hmar_keras.register_model. "
            "Commands that open a run of a custom model need it as well. May be repeated. "
            rf"\[env var: {VARIABLE}]",
            show_default=False,
        ),
    ] = None,
):
    """Applies the options that all commands share."""
    if files := import_ or files_of_environment():
        choose_files(files)


app.add_typer(data_app, name="data")
app.command("experiment")(experiment_command)
app.command("tune")(tune_command)

Models = Annotated[str, typer.Option(help="Export directory: writes MODELS/NAME/VERSION.")]
Run = Annotated[str, typer.Argument(help="Run directory, the --output of hmar train.")]


@app.command("run")
@takes_training
def run_command(
    training: TrainingOptions,
    model: Model = None,
    seed: Seed = 0,
    output: Output = None,
    resume: Resume = False,
    models: Models = "saved_models",
):
    """Do everything: train, evaluate, export, and recommend items to one user."""
    prepare_keras(training.hardware)
    from pipelines.export import make_temporary

    request = training.request(seed, model, resume)
    with make_temporary(models):  # fail before hours of training, not after
        pass
    from pipelines.runtime.interruption import Interruption

    run, data, trained = _train(request, output, resume)
    directory = Path(models) / check_model_name(data.name.replace("/", "-"))
    interruption = Interruption(at_once=True)
    going_on = f"; the model is trained: hmar evaluate {run.path}, then hmar export {run.path}"
    with if_interrupted(lambda: going_on):
        with interruption.listening():
            _evaluate(run, data, trained)
            interruption.raise_if_asked()
        if os.environ["KERAS_BACKEND"] == "tensorflow":
            version = _export(run, data, trained, directory)
        else:
            version = _export_in_tensorflow(run, training.data_dir, directory)
    _answer_example(data, version)


@app.command("train")
@takes_training
def train_command(
    training: TrainingOptions,
    model: Model = None,
    seed: Seed = 0,
    output: Output = None,
    resume: Resume = False,
):
    """Train, with early stopping on the validation split."""
    prepare_keras(training.hardware)
    request = training.request(seed, model, resume)
    _train(request, output, resume)


@app.command("evaluate")
def evaluate_command(run: Run, data_dir: DataDir = None):
    """Evaluate a run on validation and test under all protocols, next to the baselines."""
    prepare_keras()
    from pipelines.training.run_directory import RunDirectory
    from pipelines.workflow import runs as workflow

    directory = RunDirectory.open(run)
    model = workflow.load_model(directory)
    with preparing():
        data = workflow.load_run_dataset(directory, data_dir)
    _evaluate(directory, data, model)


@app.command("export")
def export_command(
    run: Run,
    models: Models = "saved_models",
    name: Annotated[
        str | None, typer.Option(help=r"Model name. \[default: the dataset's name]")
    ] = None,
    data_dir: DataDir = None,
    retrieval: Annotated[
        str,
        typer.Option(
            help=f"How to find the best items: {', '.join(RETRIEVALS)}. All are exact; "
            "brute_force is the fastest for batches, streaming uses the least memory.",
        ),
    ] = PRODUCT,
    include_all: Annotated[
        bool,
        typer.Option(
            "--include-all",
            help="Also recommend items that never come back, such as bought ones where nobody buys "
            "twice; by default recommend leaves them out.",
        ),
    ] = False,
    bless: Annotated[
        bool,
        typer.Option(
            "--bless",
            help="Export only if the validation score is no lower than those of the live version "
            "(the latest under this name, or the stable one of --rollout) and the best baseline.",
        ),
    ] = False,
    rollout: Annotated[
        str | None,
        typer.Option(
            help="With --bless: the --output of hmar rollout; its stable version is the live one.",
            show_default=False,
        ),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(
            help="With --bless: how far the score may be below the live version's; 0.01 is 1 %.",
            min=0,
            max=1,
        ),
    ] = 0.0,
    gain: Annotated[
        float,
        typer.Option(
            help="With --bless: how far the score must be above the best baseline's.", min=0
        ),
    ] = 0.0,
):
    """Write a SavedModel for TensorFlow Serving, from a run of any backend."""
    if (tolerance or gain or rollout is not None) and not bless:
        raise InputError("--rollout, --tolerance and --gain apply only with --bless; add --bless.")
    check_retrieval(retrieval)
    if name is not None:
        check_model_name(name)
    prepare_keras(backend="tensorflow")
    from pipelines.export.blessing import live_version
    from pipelines.runtime.interruption import Interruption
    from pipelines.training.run_directory import RunDirectory
    from pipelines.workflow import runs as workflow

    interruption = Interruption(at_once=True)
    with interruption.listening():
        directory = RunDirectory.open(run)
        model = workflow.load_model(directory)
        with preparing():
            data = workflow.load_run_dataset(directory, data_dir)
        target = Path(models) / (name or check_model_name(data.name.replace("/", "-")))
        interruption.raise_if_asked()
        if bless:
            live = live_version(target, rollout)
            blessing = workflow.bless_run(directory, data, model, live, tolerance, gain)
            interruption.raise_if_asked()
            if not blessing.blessed:
                raise InputError(blessing.sentence())
            say(blessing.sentence())
        _export(directory, data, model, target, retrieval, include_all)


@app.command("recommend")
def recommend_command(
    model: Annotated[str, typer.Option(help="Exported model: saved_models/NAME or a version.")],
    history: History,
    k: K = 10,
    exclude_seen: ExcludeSeen = False,
    user: User = None,
    times: Times = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Also print a reason for each item, if it has a memory."),
    ] = False,
):
    """Recommend items from an exported model, without a server."""
    prepare_keras(backend="tensorflow")
    from pipelines.description.reason_text import reason_text
    from pipelines.export.loaded_export import Recommender

    recommender = Recommender(model)
    events = parse_history(history, recommender.behaviors)
    unknown = sorted({item for item, _ in events} - recommender.vocabulary)
    if unknown:
        say(f"not in the catalogue, left out: {', '.join(unknown)}")
    moments = parse_times(times)
    answer = recommender(events, k, exclude_seen, user, moments)
    reasons = []
    if explain:
        reasons = recommender.reasons(events, [item for item, _ in answer], user, moments)
    print_answer(answer, map(reason_text, reasons))


app.command("report")(report_command)
app.command("rollout")(rollout_command)
app.command("serve")(serve_command)
app.command("client")(client_command)


def main():
    """Runs the command; bad input or a full disk gives one sentence and exit status 2."""
    repeat_lost_interrupts()
    with errors_as_sentences():
        for argument in sys.argv[1:]:
            check_text(argument, "the argument")
        app()


def _train(request, output, resume):
    from pipelines.training.run_directory import RunDirectory
    from pipelines.workflow import runs as workflow

    if not resume:
        with preparing():
            run, data = workflow.start(request, output or new_output("runs", request))
        return _train_on(run, data, request)
    if output is None:
        raise InputError("--resume needs the run directory; give it as --output.")
    with RunDirectory.open(output).held():
        with preparing():
            run, data = workflow.resume(request, output)
        return _train_on(run, data, request)


def _train_on(run, data, request):
    from pipelines.workflow import runs as workflow

    say_what_was_kept(data)
    say_traits(workflow.split_of(run, data))
    say(f"run directory: {run.path}")

    def going_on():
        epochs = len(run.history())
        same = f"continue with the same command and --output {run.path} --resume"
        return f" after {epochs} finished epochs; {same}"

    with if_interrupted(going_on):
        model = workflow.train_run(run, data, request.hardware)
    return run, data, model


def _evaluate(run, data, model):
    from pipelines.cli.results_table import results_table
    from pipelines.workflow import runs as workflow

    results = workflow.evaluate_run(run, data, model)
    for part in ("validation", "test"):
        Console().print(results_table(part, results[part]))
    say(f"all metrics: {run.path / 'metrics.json'}")


def _export(run, data, model, directory, retrieval=PRODUCT, include_all=False):
    from pipelines.export.model_card import parse_metadata
    from pipelines.workflow import runs as workflow

    version = workflow.export_run(run, data, model, directory, retrieval, include_all)
    say(f"exported: {version}")
    if left_out := parse_metadata(version)["leaves_out"]:
        names = ", ".join(map(printable, left_out))
        say(
            f"recommend leaves out items after {names}, which never come back; hmar export "
            "--include-all keeps them"
        )
    return version


def _export_in_tensorflow(run, data_dir, directory):
    """Runs `hmar export` in a subprocess, because only TensorFlow can write a SavedModel."""
    from pipelines.runtime.model_versions import versions

    command = [sys.executable, "-c", "from pipelines.cli import main; main()", "export"]
    command += [str(run.path), "--models", str(directory.parent), "--name", directory.name]
    if data_dir:
        command += ["--data-dir", data_dir]
    # On the CPU, because this process holds the GPU's memory.
    process = subprocess.run(command, env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"})
    if process.returncode:
        sys.exit(process.returncode)
    there = versions(directory)
    return there[max(there)]


def _answer_example(data, version):
    """Prints the export's items after the last events of the dataset's first user."""
    from pipelines.export.loaded_export import Recommender
    from pipelines.export.warmup import real_histories

    history = real_histories(data, 3)[0]
    text = format_history(history).replace("'", "'\\''")
    seen = "" if data.repeats else " --exclude-seen"
    say(f"\nhmar recommend --model {version.parent} --history '{text}' -k 5{seen}")
    print_answer(Recommender(version)(history, 5, not data.repeats))
