"""Why a model with a memory recommends an item, from the parts of the item's score."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from hmar_keras.layers.memory_parts import memory_parts
from hmar_keras.models import SequentialRecommender
from hmar_keras.schema import BEHAVIOR_IDS, ITEM_IDS, NETWORK, RANKING

# The kinds of reasons, by their number.
KINDS = ("touched", "together", "popularity", "network")
_MOST_TYPICAL = 256  # items that others are compared with
_IS_TOGETHER = np.array([True, False, False])
_LOWEST = -1e30


@dataclasses.dataclass(frozen=True)
class Reasons:
    """The parts of scores, and what speaks most for each item.

    `touched_score`, `together`, `popularity` and `network` add up to `score_candidates`.

    Args:
        touched: bool `[batch, candidates]`, whether the history has the item.
        touched_score: float32 `[batch, candidates]`, the whole score of a touched item, else 0.
        together: float32 `[batch, candidates]`, what comes from items that share sessions with the
            item; 0 for touched items, as are the next two.
        popularity: float32 `[batch, candidates]`.
        network: float32 `[batch, candidates]`, the gated score of the network.
        by_event: float32 `[batch, candidates, length]`, what each event of the history adds to y,
            on which `together` depends, see `LogMemory`; 0 for touched items.
        kinds: int32 `[batch, candidates]`, places in `KINDS`. For items that are not touched, the
            part that is furthest above that of a typical item. It is "together" only if an event
            speaks for the item.
        events: int32 `[batch, candidates]`, places in the history: the newest event on a touched
            item, or for other items the event with the largest `by_event`, if it is positive. -1
            for none.
        shares: float32 `[batch, candidates]`, the part of that event in all of `by_event` that is
            positive; 1 for touched items, 0 for no event.
    """

    touched: Any
    touched_score: Any
    together: Any
    popularity: Any
    network: Any
    by_event: Any
    kinds: Any
    events: Any
    shares: Any


def has_reasons(model: SequentialRecommender) -> bool:
    """Returns whether a model has a memory, without which there are no `reasons`."""
    return getattr(model, "memory", None) is not None


def reasons(model: SequentialRecommender, features: Mapping[str, Any], candidate_ids) -> Reasons:
    """Returns why a model would recommend items as the next one of the target behaviour.

    A network's scores have no natural zero, so parts are compared with their mean over typical
    items: up to 256 ids at equal distances.

    Args:
        model: a model with a memory, see `has_reasons`.
        features: what the model reads, by name; other entries are ignored.
        candidate_ids: int `[batch, candidates]`.

    Example:

    >>> from hmar_keras import HMAR, Behaviors, HMARConfig
    >>> memory = {"memory": True, "loss": "sampled_softmax", "shared_negatives": True}
    >>> config = HMARConfig(9, Behaviors(("view", "buy"), "buy"), dim=8, max_length=4, **memory)
    >>> found = reasons(HMAR(config), {"item_ids": [[3, 5]], "behavior_ids": [[1, 2]]}, [[5]])
    >>> KINDS[int(found.kinds[0, 0])]
    'touched'
    """
    features = model.read(features)
    candidate_ids = ops.convert_to_tensor(candidate_ids, "int32")
    typical = _typical_items(model.config.num_items)
    rows = ops.broadcast_to(typical[None], (ops.shape(candidate_ids)[0], len(typical)))
    asked = ops.concatenate([candidate_ids, rows], axis=1)
    outputs = model.outputs_for(features, asked)
    parts = memory_parts(model.memory, features[ITEM_IDS], features[BEHAVIOR_IDS], asked)
    network = parts.gate * ops.cast(outputs[NETWORK][:, 0], "float32")
    terms = ops.stack([parts.together, parts.popularity, network], axis=-1)
    own = slice(None), slice(-len(typical))  # without the typical items
    touched = parts.touched[own]
    by_event = ops.where(touched[..., None], 0.0, parts.by_event[own])
    events, shares = _strongest(features[ITEM_IDS], candidate_ids, touched, by_event)
    lifts = terms[own] - ops.mean(terms[:, -len(typical) :], axis=1, keepdims=True)
    lifts = ops.where(ops.logical_and(events[..., None] < 0, _IS_TOGETHER), _LOWEST, lifts)
    kinds = 1 + ops.cast(ops.argmax(lifts, axis=-1), "int32")
    together, popularity, network = ops.unstack(
        ops.where(touched[..., None], 0.0, terms[own]), axis=-1
    )
    return Reasons(
        touched=touched,
        touched_score=ops.where(touched, outputs[RANKING][:, 0][own], 0.0),
        together=together,
        popularity=popularity,
        network=network,
        by_event=by_event,
        kinds=ops.where(touched, 0, kinds),
        events=events,
        shares=shares,
    )


def _typical_items(num_items):
    count = min(num_items, _MOST_TYPICAL)
    return np.linspace(1, num_items, count).astype("int32")


def _strongest(item_ids, candidate_ids, touched, by_event):
    """Returns the event that speaks most for each item, -1 for none, and its share."""
    positive = ops.relu(by_event)
    total = ops.sum(positive, axis=-1)
    same = ops.equal(candidate_ids[..., None], item_ids[:, None])
    newest = ops.max(ops.where(same, ops.arange(ops.shape(item_ids)[1]), -1), axis=-1)
    strongest = ops.where(total > 0, ops.cast(ops.argmax(positive, axis=-1), "int32"), -1)
    share = ops.max(positive, axis=-1) / ops.where(total > 0, total, 1.0)
    return ops.where(touched, newest, strongest), ops.where(touched, 1.0, share)
