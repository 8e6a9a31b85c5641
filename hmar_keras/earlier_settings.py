"""Settings that earlier versions wrote, in the terms of this one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hmar_keras.settings import RENAMED

# What became `variant`.
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
# One class had the settings of every model and every training. Its first version wrote these:
_FIRST = {"num_items", "behaviors", "epochs", "num_behavior_blocks", "theta"}
_TRAINING = (
    *("model", "holdout", "optimizer", "learning_rate", "learning_rate_schedule", "adam_beta_2"),
    *("batching", "batch_size", "epochs", "patience"),
)
_MODELS = (
    *("num_items", "behaviors", "input_behaviors", "dim", "max_length", "num_heads"),
    *("num_behavior_blocks", "num_sequence_blocks", "dropout", "indicators", "variant"),
    "num_neighbors",
    *("neighbor_weight", "item_buckets", "item_start", "loss", "gbce_calibration", "alpha", "beta"),
    *("theta", "num_negatives", "shared_negatives", "labels", "training_windows", "training_order"),
)


class EarlierVersionError(ValueError):
    """Settings of an earlier version that have no equal; the message says what to do."""


def translate(settings: Mapping[str, Any], known: Iterable[str] = ()) -> dict[str, Any]:
    """Translates the settings of an earlier version; returns those of this version as they are.

    Args:
        settings: by name, all of them or some.
        known: the names that the model has in this version, which mean what they mean to it.

    Raises:
        EarlierVersionError: if this version has no settings that mean the same.

    Example:

    >>> translate({"dim": 8, "history_sum": False, "holdout": "any", **_PAPER})
    {'dim': 8, 'holdout': 'target', 'variant': 'paper'}
    """
    known = set(known)
    settings = _renamed(settings, known)
    if "variant" in settings:  # the networks of earlier versions had none
        return settings
    retired = {"history_sum", *_PAPER} - known
    found = {name: settings.pop(name) for name in retired & set(settings)}
    if found.pop("history_sum", False):
        raise EarlierVersionError(
            "history_sum=True is of an earlier version and has no equal in this one; train anew "
            "with num_neighbors in its place."
        )
    if settings.get("optimizer") == "rowwise_adam":
        raise EarlierVersionError(
            "optimizer=rowwise_adam is of an earlier version and has no equal in this one; train "
            "anew with lazy_adam in its place."
        )
    if settings.get("holdout") == "any":
        settings["holdout"] = "target"  # the dataset says where its held-out items are from
    network = {name: found[name] for name in _PAPER if name in found}
    return {**settings, **_variant(network, settings.get("model", "hmar"))} if network else settings


def without_others(settings: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Leaves out what an earlier version wrote down for every model and a model has not.

    Only of settings that were written as a whole; of others a name too many is a mistake.

    Args:
        settings: by name, in the terms of this version.
        known: the names that may stay.
    """
    if not set(settings) >= _FIRST:
        return dict(settings)
    known, earlier = set(known), {*_TRAINING, *_MODELS}
    return {name: settings[name] for name in settings if name in known or name not in earlier}


def in_this_version(settings: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Settings of any version, in the terms of this one and without those of other models.

    Args:
        settings: by name, all of them or some.
        known: the names that the model, or its run, has in this version.

    Raises:
        EarlierVersionError: if this version has no settings that mean the same.
    """
    known = set(known)
    return without_others(translate(settings, known), known)


def saved_settings(settings: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """The settings of a model that any version saved, in the terms of this one.

    Args:
        settings: by name; earlier versions saved those of the training, too.
        known: the names of the model's settings.

    Raises:
        EarlierVersionError: if this version has no settings that mean the same.
    """
    known = set(known)
    if "epochs" not in settings:  # of a version in which a model has settings of its own
        return _renamed(settings, known)
    return in_this_version(settings, known)


def _renamed(settings: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    """With the new names, if all that have one bear the old: a user's own few are a mistake."""
    old = {name for name, new in RENAMED.items() if new in known and name not in known}
    if not old or not set(settings) >= {"num_items", "behaviors", *old}:
        return dict(settings)
    return {RENAMED[name] if name in old else name: value for name, value in settings.items()}


def _variant(network, model):
    """What the four switches mean to a model, as settings."""
    if model == "sasrec":
        if network.get("scale_embeddings") is not True:
            raise EarlierVersionError(
                "model=sasrec without scale_embeddings=True is of an earlier version, in this one "
                "SASRec always scales its embeddings; train anew."
            )
        network = {**network, "scale_embeddings": network.get("layer_norm")}  # the others' variant
    found = {"paper": _PAPER, "release": _RELEASE}
    for name, switches in found.items():
        if network == switches:
            return {"variant": name}
    if model != "hmar":  # to which they mean nothing
        return {}
    said = ", ".join(f"{name}={value}" for name, value in network.items())
    raise EarlierVersionError(
        f"{said} is of an earlier version and neither variant=paper nor variant=release; train "
        "anew with one of them."
    )
