"""From what the user asked for to an `HMARConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hmar_keras import models
from hmar_keras.config import HMARConfig
from hmar_keras.earlier_settings import translate
from hmar_keras.schema import Behaviors
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.runtime.errors import InputError
from pipelines.storage.artefacts import check
from pipelines.storage.json_text import parse_json

# Beside the paper's settings: what the authors' release does in its network, smaller batches, and a
# softmax over many negatives. They reach a better validation score in a fraction of the paper's
# epochs; BUILD_NOTES.md has the measurements.
_QUICK = {
    "variant": "release",
    "batch_size": 32,
    "learning_rate": 1e-3,
    "loss": "sampled_softmax",
    "shared_negatives": True,
    "num_negatives": 256,
    "dropout": 0.3,
}

# Good after a third of the epochs where items are seldom.
_FROM_COOCCURRENCE = {"item_start": "cooccurrence", "learning_rate_schedule": "cosine"}

# What a dataset is trained with unless the user names a preset: a preset or None, and changes.
DEFAULTS = {
    "synthetic_shop": (
        None,
        {
            **_QUICK,
            "dim": 48,
            "learning_rate": 2e-3,
            "alpha": {"view": 0.1, "favorite": 0.1, "cart": 0.3, "buy": 1.0},
            "epochs": 40,
        },
    ),
    "movielens": ("movielens", {**_QUICK, **_FROM_COOCCURRENCE, "epochs": 40}),
    # Its test list asks for items that the user never touched, bought at any time; what leads to
    # them is learned from clicks, too, and not from what is touched again. What goes with what is
    # most of what the log tells: it is counted, and little is learned beside it, in small steps.
    "ijcai15": (
        "tianchi",
        {
            **_QUICK,
            **_FROM_COOCCURRENCE,
            "num_neighbors": 50,
            "neighbor_weight": 4.5,
            "dim": 64,
            "learning_rate": 3e-4,
            "batch_size": 64,
            "epochs": 4,
            "targets": "new_items",
            "order": "random",
            "alpha": {"click": 0.1, "fav": 1.0, "cart": 1.0, "buy": 1.0},
        },
    ),
    "taobao": ("taobao", {}),
    "tianchi": ("tianchi", {}),
    "yelp": ("yelp", {}),
    "retailrocket": (None, _QUICK),
    "otto": (None, _QUICK),
    "log": (None, _QUICK),  # a user's own
}


# What another model needs besides what a dataset is trained with. Where that has neighbours, so has
# the other model: their settings do for a model that learns beside them, and too little without.
_SASREC = {"model": "sasrec", "num_sequence_blocks": 2}
MODEL_SETTINGS = {
    "hmar": {"model": "hmar"},
    "sasrec": _SASREC,
    "gsasrec": {**_SASREC, "loss": "gbce", "shared_negatives": True, "num_negatives": 256},
}


def model_settings(model: str, behaviors: Behaviors) -> dict:
    """What to change in HMAR's settings to train another model in its place.

    Args:
        model: a name out of `MODEL_SETTINGS`, or of a model that the user has registered.
        behaviors: the dataset's. To other models all positives weigh alike: what the behaviours'
            weigh is HMAR's.

    Raises:
        InputError: if there is no such model.
    """
    # Of an own model nothing is asked that only some can do.
    own = {name: {"model": name, "item_start": "random"} for name in models.MODELS}
    known = {**own, **MODEL_SETTINGS}
    if model not in known:
        names = ", ".join({**MODEL_SETTINGS, **own})
        raise InputError(
            f"unknown model {model!r}; the models are {names}, and your own after hmar --import "
            "FILE.py."
        )
    alike = {} if model == "hmar" else {"alpha": dict.fromkeys(behaviors.names, 1.0)}
    return {**known[model], **alike}


def build_config(
    dataset: InteractionDataset,
    preset: str | None = None,
    config_file: str | Path | None = None,
    assignments: list[str] | tuple[str, ...] = (),
    epochs: int | None = None,
    model: str | None = None,
) -> HMARConfig:
    """Settings in rising order of precedence: preset or defaults, file, model, assignments, epochs.

    Args:
        dataset: gives the catalogue's size and the behaviours.
        preset: one of the paper's, or None for the dataset's `DEFAULTS`.
        config_file: JSON object of settings; those left out keep the preset's.
        assignments: `"field=value"`, and `"alpha.NAME=value"` for one behaviour's weight.
        epochs: at most this many.
        model: a name out of `MODEL_SETTINGS`, or None for what the other settings say.

    Raises:
        InputError: if a setting is unknown or is wrong.
    """
    usual = {}
    if preset is None:
        preset, usual = DEFAULTS.get(dataset.name.split("/")[0], (None, {}))
    changes = _read_file(config_file, dataset) if config_file else {}
    if model is not None:
        changes |= model_settings(model, dataset.behaviors)
    for assignment in assignments:
        _assign(changes, assignment)
    if epochs is not None:
        changes["epochs"] = epochs
    try:
        if preset:
            config = HMARConfig.preset(preset, dataset.num_items, dataset.behaviors)
        else:
            config = HMARConfig(dataset.num_items, dataset.behaviors)
        config = config.replace(**usual)
        alpha = changes.pop("alpha", {})
        if not isinstance(alpha, Mapping):
            raise InputError(f"alpha must map behaviour names to weights, got {alpha!r}.")
        config = config.replace(**changes, alpha={**config.alpha, **alpha})
    except ValueError as error:
        raise InputError(str(error)) from error
    check_start(config)
    return config


def check_start(config: HMARConfig) -> None:
    """Whether the model has the item table that `item_start` writes into.

    Raises:
        InputError: if not.
    """
    own = models.MODELS.get(config.model)
    unnamed = own and own.item_table is models.SequentialRecommender.item_table
    if config.item_start == "cooccurrence" and unnamed:
        raise InputError(
            f"{own.__name__} must define item_table, which item_start=cooccurrence writes into; "
            "or set item_start=random."
        )


def read_object(path: str | Path, what: str, option: str) -> dict:
    """The JSON object in a user's file.

    Args:
        path: of the file.
        what: it is, for messages.
        option: that names it.

    Raises:
        InputError: if there is none.
    """
    try:
        content = parse_json(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{what} {path} cannot be read ({error.strerror}); give another {option}."
        ) from error
    except ValueError as error:
        raise InputError(f"{what} {path} is not JSON ({error}); correct it.") from error
    if not isinstance(content, dict):
        raise InputError(f"{what} {path} must be a JSON object of settings; correct it.")
    check(Path(path), f"give another {option}")  # what a run or a search wrote has a checksum
    return content


def _read_file(path, dataset):
    try:
        changes = translate(read_object(path, "the configuration", "--config"))
    except ValueError as error:
        raise InputError(f"the configuration {path} cannot be used: {error}") from error
    # A run's config.json states its dataset's; another dataset's would not fit.
    own = {
        "num_items": dataset.num_items,
        "behaviors": {
            "names": list(dataset.behaviors.names),
            "target": dataset.behaviors.target,
        },
    }
    for name, value in own.items():
        if changes.pop(name, value) != value:
            raise InputError(
                f"{name} in the configuration {path} is not that of {dataset.name}; leave it out."
            )
    return changes


def _assign(changes, assignment):
    name, equals, text = assignment.partition("=")
    if not equals:
        raise InputError(f"--set {assignment} is not of the form field=value.")
    if name in ("num_items", "behaviors"):
        raise InputError(f"{name} comes from the dataset and cannot be set.")
    try:
        value = parse_json(text)
    except ValueError as error:
        if text.lstrip().startswith(("[", "{")):
            raise InputError(f"--set {name} is not valid JSON ({error}); correct it.") from error
        value = text  # a bare word
    if name.startswith("alpha."):
        changes.setdefault("alpha", {})[name.removeprefix("alpha.")] = value
    else:
        changes[name] = value
