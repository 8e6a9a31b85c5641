"""Counts of a log, which a memory starts from."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class LogCounts:
    """Counts of the training events that `LogMemory` needs.

    Args:
        pair_ids: int32 `[num_items + 1, P]`, see `PairTable.assign`.
        pair_values: float32 `[num_items + 1, P]`, for each kept pair of different items the sum of
            1 / (number of different items) over the sessions with both.
        pair_rivals: float32 `[num_items + 1, P]`, the highest such sum, times n_c^-0.3, of the
            pairs that are not kept because of the one at this place.
        users: float32 `[num_items + 1]`, users per item.
        popularity: float32 `[num_items + 1]`, logarithm of the events of the target behaviour.
        conversion: float32 `[num_items + 1]`, logarithm of the users with the target behaviour per
            user with the weakest one, scaled to [-1, 1].
        sets: float32 `[sets]`, the logarithm of how much more often an item is the next target if
            the user has touched it with a set of behaviours than if not; for sets see
            `hmar_keras.schema.behavior_bits`.
        scale: a, with which the scores of items that are not touched suit a softmax.
    """

    pair_ids: np.ndarray
    pair_values: np.ndarray
    pair_rivals: np.ndarray
    users: np.ndarray
    popularity: np.ndarray
    conversion: np.ndarray
    sets: np.ndarray
    scale: float
