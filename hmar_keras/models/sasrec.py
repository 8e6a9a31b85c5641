"""SASRec and gSASRec: the sequence of items alone, under one causal attention.

W.-C. Kang and J. McAuley, "Self-attentive sequential recommendation", ICDM 2018. With
`loss="gbce"` and many negatives it is the model of A. Petrov and C. Macdonald, "gSASRec: reducing
overconfidence in sequential recommendation trained with negative sampling", RecSys 2023.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from hmar_keras.config import HMARConfig
from hmar_keras.layers import Dropout, ItemEmbedding, PositionEmbedding, SequenceEncoder
from hmar_keras.models.sequential_recommender import (
    SequentialRecommender,
    as_config,
    history_inputs,
    item_neighbors,
    recommender_inputs,
)
from hmar_keras.schema import BEHAVIOR_IDS, CANDIDATE_IDS, ITEM_IDS, NEGATIVE_IDS, RANKING


@keras.saving.register_keras_serializable(package="hmar_keras")
class SASRec(SequentialRecommender):
    """Items, positions, `num_sequence_blocks` blocks of self-attention, z . v.

    A block is HMAR's `SequenceEncoder` with layer normalisation and residuals, on normalised
    input. Item embeddings are multiplied by sqrt(d), as in SASRec's own code. (That code normalises
    the queries and not the keys.) Behaviours are not looked at: with `events="target"` the model
    sees the target behaviour's events, as in the tables of papers that compare with it, with
    `"all"` those of every behaviour.

    Ignores `indicators`, `num_behavior_blocks`, `variant` and `theta`.

    Args:
        config: an `HMARConfig` or its `to_dict()`.
        dtype: of the layers, a name or a policy.
        **kwargs: as in `keras.Model`.

    Example:

    >>> from hmar_keras import Behaviors, HMARConfig
    >>> behaviors = Behaviors(("view", "buy"), "buy")
    >>> model = SASRec(HMARConfig(9, behaviors, model="sasrec", dim=8, max_length=4))
    >>> history = {"item_ids": [[0, 3, 5, 3]], "behavior_ids": [[0, 1, 1, 2]]}
    >>> history = {name: ops.convert_to_tensor(ids, "int32") for name, ids in history.items()}
    >>> tuple(model.score_catalog(**history).shape)
    (1, 10)
    """

    def __init__(
        self,
        config: HMARConfig | Mapping[str, Any],
        dtype: str | keras.dtype_policies.DTypePolicy | None = None,
        **kwargs: Any,
    ) -> None:
        config = as_config(config)
        # Layers
        items = ItemEmbedding(
            config.num_items,
            config.dim,
            scale_embeddings=True,
            item_buckets=config.item_buckets,
            dtype=dtype,
            name="items",
        )
        positions = PositionEmbedding(config.max_length, dtype=dtype, name="position_embedding")
        dropout = Dropout(config.dropout, dtype=dtype, name="input_dropout")
        blocks = range(config.num_sequence_blocks)
        norms = [keras.layers.LayerNormalization(dtype=dtype, name=f"norm_{i}") for i in blocks]
        last_norm = keras.layers.LayerNormalization(dtype=dtype, name="last_norm")
        encoders = [
            SequenceEncoder(
                config.num_heads,
                config.dropout,
                feed_forward_residual=True,
                layer_norm=True,
                dtype=dtype,
                name=f"sequence_encoder_{i}",
            )
            for i in blocks
        ]
        neighbors = item_neighbors(config, num_behaviors=1)
        ranking_head = keras.layers.Identity(dtype="float32", name=RANKING)

        # Functional graph
        history = history_inputs()
        item_ids = history[ITEM_IDS]
        states = dropout(positions(items(item_ids)))
        for norm, encoder in zip(norms, encoders, strict=True):
            states = norm(states)
            states = encoder(states, states, item_ids)
        backbone = keras.Model(history, last_norm(states), name="backbone")
        inputs = recommender_inputs(config)
        history = {name: inputs[name] for name in history}
        states = backbone(history)
        scores = items(inputs[CANDIDATE_IDS], states, inputs.get(NEGATIVE_IDS))
        if neighbors is not None:
            asked = inputs[CANDIDATE_IDS], inputs.get(NEGATIVE_IDS)
            scores = scores + neighbors(*_without_kinds(**history), *asked)
        outputs = {RANKING: ranking_head(scores)}
        super().__init__(config, dtype, inputs=inputs, outputs=outputs, **kwargs)

        self.backbone = backbone
        self.items = items
        self.neighbors = neighbors

    @property
    def item_table(self):
        """See `SequentialRecommender.item_table`."""
        return self.items.item_table

    def catalog_query(self, item_ids, behavior_ids):
        """See `SequentialRecommender.catalog_query`."""
        states = self.backbone({ITEM_IDS: item_ids, BEHAVIOR_IDS: behavior_ids}, training=False)
        gains = None
        if self.neighbors is not None:
            gains = self.neighbors.catalog_gains(*_without_kinds(item_ids, behavior_ids))
        return ops.cast(states[:, -1], "float32"), None, gains


def _without_kinds(item_ids, behavior_ids):
    """A history in which all behaviours are one."""
    return item_ids, ops.minimum(behavior_ids, 1)
