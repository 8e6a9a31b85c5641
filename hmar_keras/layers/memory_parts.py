"""The terms of the score that a memory gives an item, and the weights behind them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from keras import ops

from hmar_keras.layers.log_memory import _SPEED, LogMemory, _curve


@dataclasses.dataclass(frozen=True)
class MemoryParts:
    """The terms of a memory's scores of items, as the next of the target behaviour.

    Args:
        touched: bool `[batch, candidates]`, whether the history has the item.
        popularity: float32 `[batch, candidates]`, p popularity(c).
        together: float32 `[batch, candidates]`, k log(1 + max(y, 0) / k).
        by_event: float32 `[batch, candidates, length]`, what each event adds to y; 0 for events
            that are not the newest on their item.
        gate: float32 scalar, the factor of the network's scores.
    """

    touched: Any
    popularity: Any
    together: Any
    by_event: Any
    gate: Any


def memory_parts(memory: LogMemory, item_ids, behavior_ids, candidate_ids) -> MemoryParts:
    """Returns the terms for items as if the history did not have them, without own shares.

    Args:
        memory: the layer.
        item_ids: int `[batch, length]`.
        behavior_ids: int `[batch, length]`.
        candidate_ids: int `[batch, candidates]`.
    """
    target = ops.full_like(item_ids[:, :1], memory.behaviors.target_id)
    history = memory._history(item_ids, behavior_ids, target)
    w = ops.transpose(memory.pairs(item_ids, candidate_ids), (0, 2, 1))
    by_event = history.shared * w + history.root * ops.sqrt(w)
    popularity = ops.take(ops.convert_to_tensor(memory.popularity), candidate_ids, axis=0)
    same = ops.equal(candidate_ids[:, :, None], item_ids[:, None])
    return MemoryParts(
        touched=ops.logical_and(ops.any(same, axis=2), ops.not_equal(candidate_ids, 0)),
        popularity=history.others[:, 0, 1:2] * popularity,
        together=_curve(ops.sum(by_event, axis=2), history.others[:, 0, 2:]),
        by_event=by_event,
        gate=_SPEED * memory.gate,
    )


@dataclasses.dataclass(frozen=True)
class MemoryWeights:
    """The weights of a memory for answers of the target behaviour, see `LogMemory`.

    Args:
        sets: float32 `[sets]`, S by the sum of the behaviours' bits, see `behavior_bits`.
        slopes: float32 `[sets]`, C.
        shared: float32 `[K, max_length]`, G by behaviour and age.
        root: float32 `[K, max_length]`, H.
        gate: g.
    """

    sets: np.ndarray
    slopes: np.ndarray
    shared: np.ndarray
    root: np.ndarray
    gate: float


def memory_weights(memory: LogMemory) -> MemoryWeights:
    """Returns the weights of a memory in the units of `LogMemory`."""
    target = 1  # 0 is for answers of other behaviours
    by_set = _SPEED * ops.convert_to_numpy(memory.by_set).reshape(2, memory.num_sets, 2)[target]
    by_age = ops.convert_to_numpy(memory._by_age())
    shape = (3, 2, len(memory.behaviors), memory.max_length, 3)  # first, newest events on an item
    _, shared, root = np.moveaxis(by_age.reshape(shape)[0, target], -1, 0)
    gate = _SPEED * float(ops.convert_to_numpy(memory.gate))
    return MemoryWeights(by_set[:, 0], by_set[:, 1], shared, root, gate)
