"""The steps behind the commands: train, evaluate, export."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import keras

from hmar_keras.models import SequentialRecommender
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.evaluation.baselines import baselines
from pipelines.evaluation.evaluator import Evaluator, model_scorer
from pipelines.export import export
from pipelines.export.blessing import Blessing, bless, live_results
from pipelines.export.warmup import real_histories
from pipelines.protocol.log_traits import never_returning
from pipelines.protocol.splits import Splits, split, validation_fingerprint
from pipelines.protocol.training_counts import item_popularity
from pipelines.runtime.errors import InputError
from pipelines.runtime.hardware import Hardware
from pipelines.runtime.retrievals import PRODUCT
from pipelines.storage.artefacts import reading
from pipelines.training.fit import best_epoch, save_best, train
from pipelines.training.run_config import RunConfig
from pipelines.training.run_directory import RunDirectory
from pipelines.workflow.preparation import prepare_request, requested_config, used_hardware
from pipelines.workflow.request import Request
from pipelines.workflow.run_data import load_source, load_to_resume


def start(request: Request, output: str | os.PathLike) -> tuple[RunDirectory, InteractionDataset]:
    """Creates the directory of a new run, and loads its dataset.

    Raises:
        InputError: if the request cannot be met or the directory exists.
    """
    dataset, config, origin = prepare_request(request)
    return RunDirectory.create(output, {**origin, "seed": request.seed}, config), dataset


def resume(request: Request, output: str | os.PathLike) -> tuple[RunDirectory, InteractionDataset]:
    """Opens a run that is to be continued, and loads its dataset.

    Raises:
        InputError: if there is none, its dataset cannot be loaded, or the requested data or
            settings differ from those it was started with.
    """
    run = RunDirectory.open(output)
    dataset = load_to_resume(request, run.settings(), run.path)
    config = same_request(run, request, dataset)
    settings = run.settings()
    used = settings.get("hardware", [])
    now = used_hardware(request.hardware, len(run.history()))
    if not used or {**used[-1], "after_epoch": now["after_epoch"]} != now:
        run.write_json("run.json", {**settings, "hardware": [*used, now]})
    run.write_json("config.json", config.to_dict())
    return run, dataset


def load_run_dataset(run: RunDirectory, data_dir: str | None = None) -> InteractionDataset:
    """Loads the dataset that a run was started with.

    Args:
        run: the run.
        data_dir: directory of the raw files, if they have moved.

    Raises:
        InputError: if it cannot be loaded or has changed.
    """
    return load_source(run.settings(), run.path, data_dir)


def train_run(
    run: RunDirectory, dataset: InteractionDataset, hardware: Hardware | None = None
) -> SequentialRecommender:
    """Trains a run to its end, from its last finished epoch on."""
    config, settings = run.config(), run.settings()
    return train(split(dataset, config.split.holdout), config, run, settings["seed"], hardware)


def split_of(run: RunDirectory, dataset: InteractionDataset) -> Splits:
    """Splits a run's dataset as its settings say."""
    return split(dataset, run.config().split.holdout)


def load_model(run: RunDirectory) -> SequentialRecommender:
    """Loads the run's model with its best weights so far.

    Raises:
        InputError: if no epoch is finished, the model's file is damaged or does not match the
            configuration, or the model is unknown.
    """
    config = run.config()
    if run.model.exists():
        advice = "delete it and its checksum, and it is written again from the best checkpoint"
        with reading(run.model, advice):
            model = keras.saving.load_model(run.model)
        if model.config != config.model:
            raise InputError(f"{run.model} has other settings than config.json; {advice}.")
        return model
    if not run.history():
        raise InputError(f"{run.path} has no finished epoch; train it first.")
    return save_best(run, config)


def evaluate_run(
    run: RunDirectory, dataset: InteractionDataset, model: SequentialRecommender
) -> dict:
    """Evaluates the model and the baselines on both splits, and writes `metrics.json`.

    Returns:
        `results[split][scorer][protocol][metric]`, where `split` is `validation` or `test`.
    """
    splits = split_of(run, dataset)
    seed = run.settings()["seed"]
    scorers = {type(model).__name__: model_scorer(model, splits.dataset), **baselines(splits)}
    results, never = {}, never_returning(splits)
    for part, questions in (("validation", splits.validation), ("test", splits.test)):
        evaluator = Evaluator(splits.dataset, questions, seed, never_returns=never)
        results[part] = {name: evaluator(scorer) for name, scorer in scorers.items()}
    history = run.history()
    trained = {"epochs": len(history), "best_epoch": best_epoch(history)}
    asked = {"questions": validation_fingerprint(splits)}
    run.write_json("metrics.json", {**run.settings(), **asked, **trained, **results})
    return results


def validation_results(
    run: RunDirectory, dataset: InteractionDataset, model: SequentialRecommender
) -> dict:
    """Returns validation results by scorer.

    They are read from `metrics.json` if that is about the best epoch and these questions;
    otherwise the model is evaluated.
    """
    splits = split_of(run, dataset)
    return (_known_results(run, splits) or evaluate_run(run, dataset, model))["validation"]


def bless_run(
    run: RunDirectory,
    dataset: InteractionDataset,
    model: SequentialRecommender,
    live: Path | None,
    tolerance: float = 0.0,
    gain: float = 0.0,
) -> Blessing:
    """Decides whether the model is good enough to be published.

    Args:
        run: the run.
        dataset: its dataset.
        model: its model.
        live: directory of the live version, see `live_version`; None if there is none yet.
        tolerance: see `bless`.
        gain: see `bless`.

    Raises:
        InputError: if the live version cannot be compared with.
    """
    baselines = dict(validation_results(run, dataset, model))
    candidate = baselines.pop(type(model).__name__)
    results = None
    if live:
        splits = split_of(run, dataset)
        results = live_results(live, _provenance(run, splits), splits)
    return bless(candidate, baselines, results, tolerance, gain)


def export_run(
    run: RunDirectory,
    dataset: InteractionDataset,
    model: SequentialRecommender,
    directory: str | os.PathLike,
    retrieval: str = PRODUCT,
    include_all: bool = False,
) -> Path:
    """Writes the next version of the model to `directory/VERSION`.

    Args:
        run: the run.
        dataset: its dataset.
        model: its model.
        directory: directory of the model's versions.
        retrieval: one of `RETRIEVALS`.
        include_all: whether `recommend` also answers with items that never come back. Otherwise it
            leaves them out, see `never_returning`.

    Raises:
        InputError: if the backend is not TensorFlow, the version cannot be written, or the
            retrieval is not available.
    """
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"only TensorFlow can write a SavedModel; run: KERAS_BACKEND=tensorflow hmar export "
            f"{run.path}"
        )
    splits = split_of(run, dataset)
    popularity = item_popularity(splits)
    histories = real_histories(dataset, model.config.max_length)
    origin = _provenance(run, splits)
    never = () if include_all else never_returning(splits)
    return export(
        model,
        dataset.items,
        popularity,
        directory,
        origin,
        histories,
        retrieval,
        dataset.users,
        [dataset.behaviors.names[behavior - 1] for behavior in never],
    )


def _provenance(run: RunDirectory, splits: Splits) -> dict:
    """Returns what an export's `hmar.json` records of its run, from settings to results."""
    settings = run.settings()
    results = _known_results(run, splits) or {}
    return {
        "config": run.config().to_dict(),
        "dataset": settings["dataset"],
        "statistics": settings["statistics"],
        "fingerprint": settings.get("fingerprint"),
        "questions": validation_fingerprint(splits),
        "seed": settings["seed"],
        "best_epoch": best_epoch(run.history()),
        "versions": settings["versions"],
        "created": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        **{part: results[part] for part in ("validation", "test") if part in results},
    }


def _known_results(run, splits):
    """Reads `metrics.json`; None if it is missing, or about another epoch or other questions."""
    metrics = run.metrics()
    if metrics is None or metrics["best_epoch"] != best_epoch(run.history()):
        return None
    questions = validation_fingerprint(splits)
    # Results of older versions do not record their questions.
    return metrics if metrics.get("questions", questions) == questions else None


def same_request(run: RunDirectory, request: Request, dataset: InteractionDataset) -> RunConfig:
    """Returns the configuration of a run that is to be continued, with the request's epochs.

    Raises:
        InputError: if the request differs from what the run was started with.
    """
    config, settings = run.config(), run.settings()
    if request.seed != settings["seed"]:
        raise InputError(f"{run.path} was started with --seed {settings['seed']}; keep it.")
    precision = settings["hardware"][-1]["precision"] if settings.get("hardware") else "float32"
    if request.hardware.precision != precision:
        raise InputError(
            f"{run.path} was started with --precision {precision}; keep it: devices, XLA and "
            "steps per execution may change, the precision may not."
        )
    chosen = request.preset or request.config_file or request.assignments
    if chosen or request.model is not None:
        asked = requested_config(request, dataset, config.training.epochs)
        if asked != config:
            raise InputError(
                f"{run.path} was started with other settings (see its config.json); resume it "
                "without --model, --preset, --config and --set, or start a new run."
            )
    if request.epochs is not None:
        config = config.replace(epochs=request.epochs)
    return config
