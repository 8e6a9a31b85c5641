"""From a request to data and settings, the same for a run, an experiment and a search."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras

from pipelines.datasets import load_chosen
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.protocol.splits import split
from pipelines.runtime.errors import InputError
from pipelines.runtime.hardware import Hardware
from pipelines.training.run_config import RunConfig
from pipelines.workflow.request import Request
from pipelines.workflow.run_data import source
from pipelines.workflow.settings import build_config


def prepare_request(request: Request) -> tuple[InteractionDataset, RunConfig, dict]:
    """Loads the data that is asked for and makes the settings.

    Returns:
        the dataset, the settings, and what a directory keeps of data, software and hardware.

    Raises:
        InputError: if the request cannot be met.
    """
    dataset = load_chosen(request.dataset, request.data_dir, request.log)
    config = requested_config(request, dataset, request.epochs)
    split(dataset, config.split.holdout)  # before a directory is made
    origin = source(request, dataset)
    return dataset, config, {**origin, "hardware": [used_hardware(request.hardware, 0)]}


def requested_config(
    request: Request, dataset: InteractionDataset, epochs: int | None
) -> RunConfig:
    """The settings that the user asks for, with at most so many epochs.

    Raises:
        InputError: if a setting is unknown or is wrong.
    """
    return build_config(
        dataset,
        request.preset,
        request.config_file,
        request.assignments,
        epochs,
        request.model,
    )


def used_hardware(hardware, epochs):
    """What `run.json` keeps of the hardware that the epochs after `epochs` are trained on."""
    return {
        "after_epoch": epochs,
        "backend": keras.backend.backend(),
        "accelerator": hardware.has_accelerator(),
        **dataclasses.asdict(hardware.resolved()),
    }


def check_trained_alike(path: Path, content: dict, hardware: Hardware) -> None:
    """Refuses to continue what compares trainings in another precision or on another backend.

    Args:
        path: of what is to be continued, for messages.
        content: what its file holds, `hardware` among it.
        hardware: asked for now.

    Raises:
        InputError: if either differs.
    """
    was, now = (content["hardware"] or [{}])[-1], used_hardware(hardware, 0)
    if any(was.get(part) != now[part] for part in ("precision", "backend")):
        raise InputError(
            f"{path} was started with --precision {was.get('precision')} on {was.get('backend')}; "
            "keep both: what is compared must have been trained alike."
        )
