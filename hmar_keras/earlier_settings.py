"""Translates settings that earlier versions wrote into settings of this version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hmar_keras.settings import RENAMED

# The four switches that became `variant`.
_PAPER = {
    "behavior_projection": "shared",
    "feed_forward_residual": False,
    "layer_norm": False,
    "scale_embeddings": False,
}
_RELEASE = {
    "behavior_projection": "none",
    "feed_forward_residual": True,
    "layer_norm": True,
    "scale_embeddings": True,
}
# Earlier versions kept the settings of all models and of training in one class. All wrote these:
_FIRST = {"num_items", "behaviors", "epochs", "num_behavior_blocks", "theta"}
_TRAINING = (
    *("model", "holdout", "optimizer", "learning_rate", "learning_rate_schedule", "adam_beta_2"),
    *("batching", "batch_size", "epochs", "patience"),
)
_MODELS = (
    *("num_items", "behaviors", "input_behaviors", "dim", "max_length", "num_heads"),
    *("num_behavior_blocks", "num_sequence_blocks", "dropout", "indicators", "variant"),
    *("item_buckets", "item_start", "loss", "gbce_calibration", "alpha", "beta", "theta"),
    *("num_negatives", "shared_negatives", "labels", "training_windows", "training_order"),
)
_NEIGHBORS = {"num_neighbors", "neighbor_weight"}  # a layer that `memory` replaces


class EarlierVersionError(ValueError):
    """Settings of an earlier version have no equivalent; the message says what to do."""


def translate(settings: Mapping[str, Any], known: Iterable[str] = ()) -> dict[str, Any]:
    """Translates the settings of an earlier version; returns those of this version unchanged.

    Args:
        settings: by name, all of them or some.
        known: names of the model's settings in this version; they keep their meaning.

    Raises:
        EarlierVersionError: if this version has no equivalent settings.

    Example:

    >>> translate({"dim": 8, "history_sum": False, "holdout": "any", **_PAPER})
    {'dim': 8, 'holdout': 'target', 'variant': 'paper'}
    """
    known = set(known)
    settings = _without_neighbors(_renamed(settings, known), known)
    if "variant" in settings:  # files with the four switches do not have it
        return settings
    retired = {"history_sum", *_PAPER} - known
    found = {name: settings.pop(name) for name in retired & set(settings)}
    if found.pop("history_sum", False):
        raise EarlierVersionError(
            "history_sum=True comes from an earlier version and has no equivalent in this one; "
            "train again with memory=true instead."
        )
    if settings.get("optimizer") == "rowwise_adam":
        raise EarlierVersionError(
            "optimizer=rowwise_adam comes from an earlier version and has no equivalent in this "
            "one; train again with lazy_adam instead."
        )
    if settings.get("holdout") == "any":
        settings["holdout"] = "target"  # the dataset defines where its held-out items come from
    network = {name: found[name] for name in _PAPER if name in found}
    return {**settings, **_variant(network, settings.get("model", "hmar"))} if network else settings


def without_others(settings: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Drops settings of other models, which earlier versions wrote with every model.

    Changes only complete sets of settings; in a partial set, an extra name is a mistake.

    Args:
        settings: by name, translated to this version.
        known: names to keep.
    """
    if not set(settings) >= _FIRST:
        return dict(settings)
    known, earlier = set(known), {*_TRAINING, *_MODELS}
    return {name: settings[name] for name in settings if name in known or name not in earlier}


def in_this_version(settings: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Translates settings of any version and drops those of other models.

    Args:
        settings: by name, all of them or some.
        known: names of the settings of the model, or of its run, in this version.

    Raises:
        EarlierVersionError: if this version has no equivalent settings.
    """
    known = set(known)
    return without_others(translate(settings, known), known)


def saved_settings(settings: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Translates the settings that any version saved with a model.

    Args:
        settings: by name; earlier versions saved the training settings as well.
        known: names of the model's settings.

    Raises:
        EarlierVersionError: if this version has no equivalent settings.
    """
    known = set(known)
    if "epochs" not in settings:  # from a version with one settings class per model
        return _without_neighbors(_renamed(settings, known), known)
    return in_this_version(settings, known)


def _renamed(settings: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    """Renames settings of a complete set; in a partial set, an old name is a mistake."""
    old = {name for name, new in RENAMED.items() if new in known and name not in known}
    if not old or not set(settings) >= {"num_items", "behaviors", *old}:
        return dict(settings)
    return {RENAMED[name] if name in old else name: value for name, value in settings.items()}


def _without_neighbors(settings: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    """Replaces the settings of neighbours in a complete set of an earlier version.

    Raises:
        EarlierVersionError: if the model has neighbours.
    """
    old, given = _NEIGHBORS - known, set(settings)
    is_complete = given >= {"num_items", "behaviors", *_NEIGHBORS} or given >= _FIRST
    if "memory" in settings or not is_complete:  # in a partial set, an old name is a mistake
        return dict(settings)
    if "num_neighbors" in old and (count := settings.get("num_neighbors", 0)):
        raise EarlierVersionError(
            f"num_neighbors={count} comes from an earlier version and has no equivalent in this "
            "one; train again with memory=true instead."
        )
    kept = {name: value for name, value in settings.items() if name not in old}
    return {**kept, "memory": False} if "memory" in known else kept


def _variant(network, model):
    """Translates the four switches of a model to settings."""
    if model == "sasrec":
        if network.get("scale_embeddings") is not True:
            raise EarlierVersionError(
                "model=sasrec without scale_embeddings=True comes from an earlier version, and "
                "SASRec always scales its embeddings in this one; train again."
            )
        network = {**network, "scale_embeddings": network.get("layer_norm")}  # to match a variant
    found = {"paper": _PAPER, "release": _RELEASE}
    for name, switches in found.items():
        if network == switches:
            return {"variant": name}
    if model != "hmar":  # the switches mean nothing to other models
        return {}
    said = ", ".join(f"{name}={value}" for name, value in network.items())
    raise EarlierVersionError(
        f"{said} comes from an earlier version and equals neither variant=paper nor "
        "variant=release; train again with one of them."
    )
