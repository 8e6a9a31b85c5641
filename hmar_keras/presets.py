"""Presets: the paper's settings for its four datasets, and the settings of other models."""

from __future__ import annotations

from typing import Any

from hmar_keras.schema import Behaviors

_SASREC = {
    **{"model": "sasrec", "dim": 64, "max_length": 200, "num_sequence_blocks": 2},
    **{"target_alpha": 1.0, "other_alpha": 1.0},
}
# All presets of HMAR use one block, one head, batches of 128, beta 1 and one negative per
# position, which are the defaults of `HMARConfig` and `TrainingConfig`. The release trains for a
# fixed number of epochs; here that number is the maximum.
PRESETS: dict[str, dict[str, Any]] = {
    "taobao": {
        "model": "hmar",
        **{"dim": 80, "max_length": 150, "learning_rate": 6e-4, "dropout": 0.45},
        **{"target_alpha": 0.7, "other_alpha": 0.1, "theta": 0.1, "epochs": 700},
    },
    "tianchi": {
        "model": "hmar",
        **{"dim": 40, "max_length": 100, "learning_rate": 5e-4, "dropout": 0.6},
        **{"target_alpha": 0.7, "other_alpha": 0.1, "theta": 0.15, "epochs": 500},
    },
    "yelp": {
        "model": "hmar",
        **{"dim": 50, "max_length": 170, "learning_rate": 7e-4, "dropout": 0.4},
        **{"target_alpha": 0.3, "other_alpha": 0.2, "theta": 0.1, "epochs": 1000},
        "alpha_by_name": {"neutral": 0.3},
    },
    "movielens": {
        "model": "hmar",
        **{"dim": 50, "max_length": 120, "learning_rate": 6e-4, "dropout": 0.4},
        **{"target_alpha": 0.8, "other_alpha": 0.1, "theta": 0.1, "epochs": 700},
    },
    # Kang and McAuley 2018: their settings for MovieLens-1M, with a width that suits the length.
    "sasrec": _SASREC,
    # Petrov and Macdonald 2023. They draw negatives per position; here it is once per window.
    "gsasrec": {
        **_SASREC,
        **{"dim": 128, "loss": "gbce", "gbce_calibration": 0.75},
        **{"num_negatives": 256, "shared_negatives": True},
    },
}


def preset_parts(name: str) -> dict[str, Any]:
    """Returns a copy of an entry of `PRESETS`, which may be changed.

    Raises:
        ValueError: if there is no such preset.
    """
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; the presets are {', '.join(PRESETS)}.")
    return dict(PRESETS[name])


def preset_settings(name: str, behaviors: Behaviors) -> dict[str, Any]:
    """Returns `model` and the settings of model and training that a preset has for a log.

    Args:
        name: a name in `PRESETS`.
        behaviors: the behaviours of the log. The weights alpha go by role, target or not, so that a
            preset works for any log of its kind; behaviours that Yelp's preset names get the
            weights named there.

    Raises:
        ValueError: if there is no such preset.
    """
    settings = preset_parts(name)
    by_name = settings.pop("alpha_by_name", {})
    target, other = settings.pop("target_alpha"), settings.pop("other_alpha")
    settings["alpha"] = {
        behavior: by_name.get(behavior, target if behavior == behaviors.target else other)
        for behavior in behaviors.names
    }
    return settings
