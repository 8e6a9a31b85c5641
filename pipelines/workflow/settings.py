"""Builds a `RunConfig` from what the user requests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hmar_keras.config import NextItemConfig
from hmar_keras.earlier_settings import in_this_version
from hmar_keras.models import MODELS
from hmar_keras.presets import preset_settings
from hmar_keras.schema import Behaviors
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.runtime.errors import InputError
from pipelines.storage.artefacts import check
from pipelines.storage.json_text import parse_json
from pipelines.training.run_config import (
    OF_LOG,
    RunConfig,
    owners,
    setting_names,
    shared_settings,
    unregistered,
)
from pipelines.workflow.defaults import default_settings

# What another model needs in addition to the default settings, which have a memory.
_SASREC = {"model": "sasrec", "num_sequence_blocks": 2}
MODEL_SETTINGS = {
    "hmar": {"model": "hmar"},
    "sasrec": _SASREC,
    "gsasrec": {
        **_SASREC,
        "loss": "gbce",
        "shared_negatives": True,
        "num_negatives": 256,
        "memory": False,
    },
}


def model_settings(model: str, behaviors: Behaviors) -> dict:
    """Returns the changes to HMAR's settings that train another model in its place.

    Args:
        model: a name in `MODEL_SETTINGS`, or of a registered custom model.
        behaviors: the dataset's behaviours. Other models weight all positives equally: weights of
            behaviours belong to HMAR.

    Raises:
        InputError: if there is no such model.
    """
    known = {**{name: {"model": name} for name in MODELS}, **MODEL_SETTINGS}
    if model not in known:
        names = ", ".join({**MODEL_SETTINGS, **known})
        raise InputError(
            f"unknown model {model!r}; the models are {names}, and custom models after hmar "
            "--import FILE.py."
        )
    settings = known[model]
    kind = owners(settings["model"])["model"]
    if model == "hmar" or not kind.means_the_same("alpha", NextItemConfig):
        return settings
    return {**settings, "alpha": dict.fromkeys(behaviors.names, 1.0)}


def build_config(
    dataset: InteractionDataset,
    preset: str | None = None,
    config_file: str | Path | None = None,
    assignments: list[str] | tuple[str, ...] = (),
    epochs: int | None = None,
    model: str | None = None,
) -> RunConfig:
    """Builds a run's settings from the preset or defaults, file, model, assignments and epochs.

    They are in rising order of precedence. Settings of a preset or of the defaults that the model
    does not have are left out; those that the user gives are not.

    Args:
        dataset: the dataset, which determines the catalogue's size and the behaviours.
        preset: name of a preset, or None for the `default_settings` of the log.
        config_file: file with a JSON object of settings; those left out keep the preset's values.
        assignments: `"field=value"`, and `"alpha.NAME=value"` for one behaviour's weight.
        epochs: maximum number of epochs.
        model: a name in `MODEL_SETTINGS` or of a registered custom model, or None for what the
            other settings say.

    Raises:
        InputError: if a setting is unknown or wrong.
    """
    said = {} if model is None else dict(model_settings(model, dataset.behaviors))
    for assignment in assignments:
        _assign(said, assignment)
    if epochs is not None:
        said["epochs"] = epochs
    file = _read_file(config_file, dataset) if config_file else {}
    try:
        usual = _usual(dataset, preset)
        if {**file, **said}.get("item_buckets"):
            usual.pop("item_start", None)  # buckets have no rows to initialise
        name = {**usual, **file, **said}.get("model", "hmar")
        usual = shared_settings(usual, usual.get("model", "hmar"), name)
        file = _for_model(file, name)
        kind = owners(name)["model"]
        found = {**_of_log(dataset, kind.names()), **usual, **file, **said, "model": name}
        if kind.means_the_same("alpha", NextItemConfig):
            found["alpha"] = _merged([each.get("alpha", {}) for each in (usual, file, said)])
        return RunConfig.from_dict(found)
    except ValueError as error:
        raise InputError(str(error)) from error


def _for_model(file, name):
    """Returns a file's settings that mean the same to a model, and unknown ones, to report them."""
    written_for = file.get("model", name)
    known = setting_names(written_for)
    mistakes = {each: value for each, value in file.items() if each not in known}
    return {**shared_settings(file, written_for, name), **mistakes}


def _merged(alphas):
    """Merges weights in rising order of precedence."""
    for alpha in alphas:
        if not isinstance(alpha, Mapping):
            raise InputError(f"alpha must map behaviour names to weights, got {alpha!r}.")
    return {name: weight for alpha in alphas for name, weight in alpha.items()}


def _usual(dataset, preset):
    """Returns the settings of a preset, or those that follow from the log."""
    if preset:
        return preset_settings(preset, dataset.behaviors)
    return {name: each.value for name, each in default_settings(dataset).items()}


def _of_log(dataset, names):
    """Returns the settings of a model that come from the log."""
    said = (dataset.num_items, dataset.behaviors, dataset.num_users)
    found = zip(OF_LOG, said, strict=True)
    return {name: value for name, value in found if name in names}


def read_object(path: str | Path, what: str, option: str) -> dict:
    """Reads the JSON object in a user's file.

    Args:
        path: path of the file.
        what: what the file is, for messages.
        option: the option that names it.

    Raises:
        InputError: if it cannot be read, holds no JSON object, or differs from its checksum.
    """
    try:
        content = parse_json(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{what} {path} cannot be read ({error.strerror}); give another {option}."
        ) from error
    except ValueError as error:
        raise InputError(f"{what} {path} is not valid JSON ({error}); correct it.") from error
    if not isinstance(content, dict):
        raise InputError(f"{what} {path} must be a JSON object of settings; correct it.")
    check(Path(path), f"give another {option}")  # files of runs and searches have a checksum
    return content


def _read_file(path, dataset):
    try:
        changes = read_object(path, "the configuration", "--config")
        changes = in_this_version(changes, setting_names(changes.get("model", "hmar")))
    except InputError:
        raise
    except ValueError as error:
        fault = unregistered(changes) or error
        raise InputError(f"the configuration {path} cannot be used: {fault}") from error
    # A run's config.json has those of its dataset; those of another dataset do not fit.
    behaviors = dataset.behaviors
    own = _of_log(dataset, OF_LOG)
    own["behaviors"] = {"names": list(behaviors.names), "target": behaviors.target}
    for name, value in own.items():
        if changes.pop(name, value) != value:
            raise InputError(
                f"{name} in the configuration {path} differs from {dataset.name}'s; leave it out."
            )
    return changes


def _assign(changes, assignment):
    name, equals, text = assignment.partition("=")
    if not equals:
        raise InputError(f"--set {assignment} is not of the form field=value.")
    if name in OF_LOG:
        raise InputError(f"{name} comes from the dataset and cannot be set.")
    try:
        value = parse_json(text)
    except ValueError as error:
        if text.lstrip().startswith(("[", "{")):
            raise InputError(f"--set {name} is not valid JSON ({error}); correct it.") from error
        value = text  # a bare word
    if name.startswith("alpha."):
        one = {name.removeprefix("alpha."): value}
        changes["alpha"] = _merged([changes.get("alpha", {}), one])
    else:
        changes[name] = value
