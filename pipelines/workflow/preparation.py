"""Data and settings from a request, the same way for a run, an experiment and a search."""

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
    """Loads the requested data and builds the settings.

    Returns:
        the dataset, the settings, and what a directory records of data, software and hardware.

    Raises:
        InputError: if the request cannot be met.
    """
    dataset = load_chosen(request.dataset, request.data_dir, request.log)
    config = requested_config(request, dataset, request.epochs)
    split(dataset, config.split.holdout)  # fails before a directory is created
    origin = source(request, dataset)
    return dataset, config, {**origin, "hardware": [used_hardware(request.hardware, 0)]}


def requested_config(
    request: Request, dataset: InteractionDataset, epochs: int | None
) -> RunConfig:
    """Returns the settings that the user requests, with at most `epochs` epochs.

    Raises:
        InputError: if a setting is unknown or wrong.
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
    """Returns what `run.json` records of the hardware that trains the epochs after `epochs`."""
    return {
        "after_epoch": epochs,
        "backend": keras.backend.backend(),
        "accelerator": hardware.has_accelerator(),
        **dataclasses.asdict(hardware.resolved()),
    }


def check_trained_alike(path: Path, content: dict, hardware: Hardware) -> None:
    """Refuses to continue a comparison of trainings with another precision or backend.

    Args:
        path: path of what is to be continued, for messages.
        content: content of its file, including `hardware`.
        hardware: the requested hardware.

    Raises:
        InputError: if either differs.
    """
    was, now = (content["hardware"] or [{}])[-1], used_hardware(hardware, 0)
    if any(was.get(part) != now[part] for part in ("precision", "backend")):
        raise InputError(
            f"{path} was started with --precision {was.get('precision')} on {was.get('backend')}; "
            "keep both, because only trainings under the same conditions can be compared."
        )
