"""What models with a `LogMemory` share: how it joins their graph, and how it is filled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from hmar_keras.config import TransformerConfig
from hmar_keras.layers import LogMemory
from hmar_keras.schema import (
    ANSWER_BEHAVIORS,
    BEHAVIOR_IDS,
    CANDIDATE_IDS,
    ITEM_IDS,
    MEMORY_INPUTS,
    NEGATIVE_IDS,
    NETWORK,
    RANKING,
)
from hmar_keras.training_log import TrainingLog


def log_memory(config: TransformerConfig) -> LogMemory | None:
    """Creates the `LogMemory` layer if the settings ask for one, else returns None."""
    if not config.memory:
        return None
    return LogMemory(config.num_items, config.behaviors, config.max_length, name="memory")


def ranking_outputs(memory: LogMemory | None, inputs: Mapping[str, Any], scores) -> dict[str, Any]:
    """Returns the outputs `ranking` and, with a memory, `network`.

    With a memory, `ranking` adds its scores to those of the network, which has an output, and in
    `NextItem` a loss, of its own.

    Args:
        memory: the layer, or None.
        inputs: all graph inputs of the model.
        scores: float `[batch, steps, candidates + negatives]`, those of the network.
    """
    ranking = keras.layers.Identity(dtype="float32", name=RANKING)
    if memory is None:
        return {RANKING: ranking(scores)}
    names = (ITEM_IDS, BEHAVIOR_IDS, ANSWER_BEHAVIORS, CANDIDATE_IDS, NEGATIVE_IDS)
    added = memory(scores, *(inputs[name] for name in (*names, *MEMORY_INPUTS[1:])))
    alone = WithoutHistory()(scores, inputs[CANDIDATE_IDS], inputs[ITEM_IDS])
    network = keras.layers.Identity(dtype="float32", name=NETWORK)
    return {RANKING: ranking(added), NETWORK: network(alone)}


class WithoutHistory(keras.Operation):
    """Leaves out the scores of the history, which only a memory gives in training.

    Call arguments:
        scores: float `[batch, steps, candidates + negatives]`; with negatives, the first `length`
            of them are the items of the history.
        candidate_ids: int `[batch, steps, candidates]`.
        item_ids: int `[batch, length]`.

    Returns:
        float `[batch, steps, candidates + negatives - length]`.
    """

    def call(self, scores, candidate_ids, item_ids):
        """Cuts the scores of the history out."""
        count, length = ops.shape(candidate_ids)[2], ops.shape(item_ids)[1]
        return ops.concatenate([scores[..., :count], scores[..., count + length :]], axis=-1)

    def compute_output_spec(self, scores, candidate_ids, item_ids):
        """Returns float `[batch, steps, None]`."""
        return keras.KerasTensor((*scores.shape[:2], None), scores.dtype)


def prepare_items(model: Any, log: TrainingLog) -> None:
    """Initialises items and memory from the log as `item_start` and `memory` say.

    Args:
        model: a model with `item_table`, `memory` (may be None) and a `TransformerConfig`.
        log: the training events.
    """
    if model.config.item_start == "cooccurrence":
        embeddings = model.item_table.embeddings
        start = log.cooccurrence_start(np.array(ops.convert_to_numpy(embeddings)))
        embeddings.assign(start)
    if model.memory is not None:
        model.memory.assign(log.counts(model.memory.pairs.num_places))
