"""Starts an experiment, or opens one to resume it."""

from __future__ import annotations

import os
from pathlib import Path

from hmar_keras.earlier_settings import EarlierVersionError
from hmar_keras.models import own_models
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.experiments.experiment import Experiment
from pipelines.experiments.suites import variants
from pipelines.runtime.errors import InputError
from pipelines.storage.artefacts import write_json
from pipelines.training.run_config import RunConfig, unregistered
from pipelines.training.run_directory import new_directory, read_json_object
from pipelines.workflow.preparation import (
    check_trained_alike,
    prepare_request,
    requested_config,
    used_hardware,
)
from pipelines.workflow.request import Request
from pipelines.workflow.run_data import SOURCE, load_to_resume

_FILE = "experiment.json"
_FIELDS = (*SOURCE, "config", "suites", "seeds")
_SEEDS = 3  # as in the paper


def create(
    request: Request,
    output: str | os.PathLike,
    suites: list[str] | None = None,
    seeds: int | None = None,
) -> tuple[Experiment, InteractionDataset]:
    """Creates the directory of a new experiment and loads its dataset.

    Args:
        request: data, settings and hardware, as for a training.
        output: the directory.
        suites: names from `suites.SUITES`; None for `main`.
        seeds: number of trainings per variant; None for 3.

    Raises:
        InputError: if the request cannot be met or the directory exists.
    """
    path = Path(output)
    dataset, config, origin = prepare_request(request)
    content = {
        **origin,
        "config": config.to_dict(),
        "own_models": own_models(),
        **_asked(suites or ["main"], _SEEDS if seeds is None else seeds),
    }
    experiment = Experiment(path, content, dataset, request.hardware)
    new_directory(path)
    write_json(path / _FILE, content)
    return experiment, dataset


def resumed(
    request: Request,
    output: str | os.PathLike | None,
    suites: list[str] | None = None,
    seeds: int | None = None,
) -> tuple[Experiment, InteractionDataset]:
    """Opens an experiment to resume it, with other suites or seeds unless they are None.

    Raises:
        InputError: if there is none, its dataset cannot be loaded, or other data, other settings,
            another precision or another backend are requested.
    """
    if output is None:
        raise InputError("--resume needs the directory of the experiment as --output.")
    path = Path(output)
    content = read_experiment(path)
    dataset = load_to_resume(request, content, path)
    if request.preset or request.config_file or request.assignments or request.epochs:
        epochs = request.epochs or content["config"]["epochs"]
        config = requested_config(request, dataset, epochs).to_dict()
        if config != content["config"]:
            raise InputError(
                f"{path} was started with other settings (see its {_FILE}); resume it without "
                "--preset, --config, --set and --epochs, or start a new experiment."
            )
    check_trained_alike(path, content, request.hardware)
    content["hardware"] = [used_hardware(request.hardware, 0)]  # of the remaining trainings
    content |= _asked(
        suites or content["suites"], len(content["seeds"]) if seeds is None else seeds
    )
    experiment = Experiment(path, content, dataset, request.hardware)
    write_json(path / _FILE, content)
    return experiment, dataset


def _asked(suites, seeds):
    return {"suite": "+".join(suites), "suites": suites, "seeds": list(range(seeds))}


def read_experiment(path: Path) -> dict:
    """Reads `experiment.json`.

    Raises:
        InputError: if there is none, or it is not valid.
    """
    content = read_json_object(path / _FILE, "an experiment", _FIELDS)
    try:
        config = RunConfig.from_dict(content["config"])
        variants(content["suites"], config, content.get("own_models", ()))
        content["config"] = config.to_dict()  # in this version's terms
        if not all(isinstance(seed, int) for seed in content["seeds"]):
            raise ValueError("a seed is not a whole number.")
    except (EarlierVersionError, InputError) as error:
        raise InputError(f"{path / _FILE}: {error}") from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        fault = unregistered(content["config"]) or f"{error} Restore it."
        raise InputError(f"{path / _FILE}: {fault}") from error
    return content
