"""The data of a run: what `run.json` records of it, and how it is found again.

A run identifies its data by a fingerprint of the content. The data is read from the prepared copy
that the run was started with, so the log may change, move or disappear; without that copy the log
is read again.
"""

from __future__ import annotations

from pathlib import Path

import keras

from hmar_keras.version import __version__
from pipelines.datasets import full_name, load_chosen, load_dataset, load_log, load_prepared
from pipelines.datasets.event_log.spec import LogSpec
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.runtime.errors import InputError
from pipelines.workflow.request import Request

# The fields of every record of a run's data and software.
SOURCE = ("dataset", "data_dir", "log", "statistics", "versions", "hardware")
_IDENTITY = ("fingerprint", "prepared")  # older runs have neither


def source(request: Request, dataset: InteractionDataset) -> dict:
    """Returns what `run.json` records of the data and the software, without the hardware."""
    return {
        "dataset": dataset.name,
        "data_dir": request.data_dir and str(Path(request.data_dir).expanduser().resolve()),
        "log": request.log and request.log.with_absolute_files().to_dict(),
        "statistics": statistics(dataset),
        "fingerprint": dataset.fingerprint,
        "prepared": dataset.prepared,
        "versions": {"hmar_keras": __version__, "keras": keras.__version__},
    }


def source_of(content: dict) -> dict:
    """Picks what `source` returned, and the hardware, from the content of a directory's file."""
    return {name: content[name] for name in (*SOURCE, *_IDENTITY) if name in content}


def statistics(dataset: InteractionDataset) -> dict:
    """Counts users, items and events by behaviour."""
    return {
        "users": dataset.num_users,
        "items": dataset.num_items,
        "events": dataset.events_by_behavior(),
    }


def load_source(settings: dict, path: Path, data_dir: str | None = None) -> InteractionDataset:
    """Loads the dataset that `source` describes.

    Args:
        settings: what `source` returned.
        path: path of the run, for messages.
        data_dir: directory of the raw files, if they have moved. They are read from there even if
            the prepared copy is in the cache.

    Raises:
        InputError: if it cannot be loaded or has changed.
    """
    dataset = None if data_dir else _load_copy(settings, path)
    if dataset is not None:
        return dataset
    if settings.get("log"):
        spec = _spec(settings, path)
        dataset = load_log(spec.moved_to(data_dir) if data_dir else spec)
    else:
        dataset = load_dataset(settings["dataset"], data_dir or settings["data_dir"])
    if not _is_same(dataset, settings):
        advice = (
            f"; restore the files in {data_dir}, leave out --data-dir"
            if data_dir
            else " and its prepared copy is not in the cache; restore the log or that cache"
        )
        raise InputError(
            f"{dataset.name} has changed since {path} was started{advice}, or start a new run."
        )
    return dataset


def load_to_resume(request: Request, settings: dict, path: Path) -> InteractionDataset:
    """Loads the dataset of a run, an experiment or a search that is to be continued.

    Args:
        request: what the user requests; without a dataset and a log, the data stays the same.
        settings: what `source` returned when it was started.
        path: path of what is to be continued, for messages.

    Raises:
        InputError: if other data is requested, or it cannot be loaded.
    """
    if request.log is None:
        asked = settings["dataset"] if request.dataset is None else full_name(request.dataset)
        if asked == settings["dataset"]:
            return load_source(settings, path, request.data_dir)
        problem, option = f"{path} was started with {settings['dataset']}, not {asked}", "--dataset"
    else:
        dataset = load_chosen(request.dataset, request.data_dir, request.log)
        if _is_same(dataset, settings):
            return dataset
        option = "--log and its options"
        if dataset.name == settings["dataset"]:
            problem = f"{dataset.name} has changed since {path} was started"
        else:
            problem = f"{path} was started with {settings['dataset']}, not {dataset.name}"
    raise InputError(
        f"{problem}; leave out {option} to continue with the data it was started with, or choose "
        "another --output."
    )


def _spec(settings, path):
    try:
        return LogSpec.from_dict(settings["log"])
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise InputError(
            f"{path} does not say how its log is read ({error}); restore its files."
        ) from error


def _load_copy(settings, path):
    """Loads the prepared copy that a run was started with; None if it is gone or has no name."""
    if not settings.get("prepared"):
        return None
    spec = _spec(settings, path) if settings.get("log") else None
    dataset = load_prepared(settings["dataset"], settings["prepared"], spec)
    return dataset if dataset is not None and _is_same(dataset, settings) else None


def _is_same(dataset, settings):
    if "fingerprint" in settings:
        return dataset.fingerprint == settings["fingerprint"]
    return statistics(dataset) == settings["statistics"]
