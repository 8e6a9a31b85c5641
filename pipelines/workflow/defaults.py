"""Default settings: rules about what a log is like, never about its name."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from pipelines.datasets.interaction_dataset import InteractionDataset

# Chosen on validation questions of four logs; docs/pages/results.md has the comparisons.
_BATCH_SIZE = 32
_STEPS = 2_500  # minutes on two cores
_EPOCHS = 2, 40
_LEAST_PATIENCE = 2
_LENGTHS = 50, 200
_SAME = "the same for all logs"
_FOR_ALL = {
    "variant": ("release", "the network of the authors' release learns in fewer epochs"),
    "dim": (64, _SAME),
    "dropout": (0.3, _SAME),
    "loss": ("sampled_softmax", "ahead of Eq. 15 and gBCE on all logs tried"),
    "num_negatives": (256, _SAME),
    "shared_negatives": (True, "one set per window makes hundreds of negatives cheap"),
    "memory": (True, "the model starts from what simple rules know"),
    "item_start": ("cooccurrence", "saves epochs where items are rare"),
    "batch_size": (_BATCH_SIZE, _SAME),
    "learning_rate": (1e-3, _SAME),
}


@dataclasses.dataclass(frozen=True)
class Default:
    """A setting that the user leaves open.

    Args:
        value: the value.
        rule: what decides it, in a few words.
    """

    value: Any
    rule: str


def default_settings(dataset: InteractionDataset) -> dict[str, Default]:
    """Returns the settings of HMAR and its training that follow from a log, by name.

    All others have the defaults of `HMARConfig` and `TrainingConfig`.

    Args:
        dataset: the dataset.
    """
    lengths = np.diff(dataset.offsets)
    found = {name: Default(*each) for name, each in _FOR_ALL.items()}
    found["max_length"] = Default(
        _usual_length(lengths),
        f"90 % of histories are at most that long; {_LENGTHS[0]} to {_LENGTHS[1]}",
    )
    epochs = _usual_epochs(lengths)
    why = f"about {_STEPS:,} steps; {_EPOCHS[0]} to {_EPOCHS[1]} epochs"
    found["epochs"] = Default(epochs, why)
    found["patience"] = Default(max(epochs // 4, _LEAST_PATIENCE), "a quarter of the epochs")
    if dataset.held_out_anywhere:
        why = "official test items are new, and come from anywhere in the history"
        found["labels"] = Default("new_items", why)
        found["training_order"] = Default("random", why)
    return found


def _usual_length(lengths):
    """Returns a multiple of 10 that 90 % of the histories do not exceed."""
    longest = np.percentile(lengths, 90) if len(lengths) else 0
    return int(np.clip(-(-longest // 10) * 10, *_LENGTHS))


def _usual_epochs(lengths):
    """Returns the epochs that take about `_STEPS` steps, with one window per user."""
    steps = max(np.count_nonzero(lengths > 1) / _BATCH_SIZE, 1)
    return int(np.clip(round(_STEPS / steps), *_EPOCHS))
