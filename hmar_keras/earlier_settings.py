"""Settings that earlier versions wrote, in the terms of this one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


class EarlierVersionError(ValueError):
    """Settings of an earlier version that have no equal; the message says what to do."""


def translate(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Translates the settings of an earlier version; returns those of this version as they are.

    Settings that have a `variant` are of this version.

    Args:
        settings: by name, all of them or some.

    Raises:
        EarlierVersionError: if this version has no settings that mean the same.

    Example:

    >>> translate({"dim": 8, "history_sum": False, "holdout": "any", **_PAPER})
    {'dim': 8, 'holdout': 'target', 'variant': 'paper'}
    """
    settings = dict(settings)
    if "variant" in settings:
        return settings
    if settings.get("history_sum"):
        raise EarlierVersionError(
            "history_sum=True is of an earlier version and has no equal in this one; train anew "
            "with num_neighbors in its place."
        )
    settings.pop("history_sum", None)
    if settings.get("optimizer") == "rowwise_adam":
        raise EarlierVersionError(
            "optimizer=rowwise_adam is of an earlier version and has no equal in this one; train "
            "anew with lazy_adam in its place."
        )
    if settings.get("holdout") == "any":
        settings["holdout"] = "target"  # the dataset says where its held-out items are from
    network = {name: settings.pop(name) for name in _PAPER if name in settings}
    return {**settings, **_variant(network, settings.get("model", "hmar"))} if network else settings


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
