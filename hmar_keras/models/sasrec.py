"""SASRec and gSASRec: causal attention over the sequence of items, without behaviours.

W.-C. Kang and J. McAuley, "Self-attentive sequential recommendation", ICDM 2018. With
`loss="gbce"` and many negatives it is the model of A. Petrov and C. Macdonald, "gSASRec: reducing
overconfidence in sequential recommendation trained with negative sampling", RecSys 2023.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from hmar_keras.config import TransformerConfig
from hmar_keras.layers import Dropout, ItemEmbedding, PositionEmbedding, SequenceEncoder
from hmar_keras.models.sequential_recommender import (
    Query,
    SequentialRecommender,
    as_config,
    history_inputs,
    recommender_inputs,
)
from hmar_keras.models.with_memory import log_memory, prepare_items, ranking_outputs
from hmar_keras.schema import BEHAVIOR_IDS, CANDIDATE_IDS, ITEM_IDS, NEGATIVE_IDS
from hmar_keras.settings import setting
from hmar_keras.training_log import TrainingLog


@dataclasses.dataclass(frozen=True)
class SASRecConfig(TransformerConfig):
    """Settings of SASRec: those of `TransformerConfig` and its base classes.

    Args:
        num_sequence_blocks: number of self-attention blocks.
    """

    num_sequence_blocks: int = setting(2, above=0)


@keras.saving.register_keras_serializable(package="hmar_keras")
class SASRec(SequentialRecommender):
    """SASRec: items, positions, blocks of self-attention, and scores z . v.

    A block is HMAR's `SequenceEncoder` with layer normalisation and residuals, on normalised
    input. Item embeddings are multiplied by sqrt(d), as in SASRec's own code. (That code normalises
    the queries and not the keys.) The model ignores behaviours. With `input_behaviors="target"` it
    sees only the events of the target behaviour, as in the tables of papers that compare with it;
    with `"all"` it sees those of every behaviour.

    Args:
        config: a `SASRecConfig` or its `to_dict()`.
        dtype: dtype of the layers, a name or a policy.
        **kwargs: as in `keras.Model`.

    Example:

    >>> from hmar_keras import Behaviors
    >>> behaviors = Behaviors(("view", "buy"), "buy")
    >>> model = SASRec(SASRecConfig(9, behaviors, dim=8, max_length=4))
    >>> tuple(model.score_catalog({"item_ids": ops.array([[0, 3, 5, 3]])}).shape)
    (1, 10)
    """

    Settings = SASRecConfig
    features: tuple[str, ...] = (ITEM_IDS,)

    def __init__(
        self,
        config: SASRecConfig | Mapping[str, Any],
        dtype: str | keras.dtype_policies.DTypePolicy | None = None,
        **kwargs: Any,
    ) -> None:
        config = as_config(SASRecConfig, config)
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
        memory = log_memory(config)

        # Functional graph
        history = history_inputs((ITEM_IDS,))
        item_ids = history[ITEM_IDS]
        states = dropout(positions(items(item_ids)))
        for norm, encoder in zip(norms, encoders, strict=True):
            states = norm(states)
            states = encoder(states, states, item_ids)
        backbone = keras.Model(history, last_norm(states), name="backbone")
        features = (ITEM_IDS,) if memory is None else (ITEM_IDS, BEHAVIOR_IDS)
        inputs = recommender_inputs(features, config.shared_negatives, config.memory)
        history = {name: inputs[name] for name in history}
        states = backbone(history)
        scores = items(inputs[CANDIDATE_IDS], states, inputs.get(NEGATIVE_IDS))
        outputs = ranking_outputs(memory, inputs, scores)
        super().__init__(config, dtype, inputs=inputs, outputs=outputs, **kwargs)

        self.features = features
        self.backbone = backbone
        self.items = items
        self.memory = memory

    @property
    def item_table(self):
        """The `ItemTable` of the items' embeddings."""
        return self.items.item_table

    def prepare(self, log: TrainingLog) -> None:
        """Initialises items and memory from the log as the settings say."""
        prepare_items(self, log)

    def query(self, features: Mapping[str, Any]) -> Query:
        """Returns the newest states as `vectors`, with what the memory adds."""
        item_ids = features[ITEM_IDS]
        states = self.backbone({ITEM_IDS: item_ids}, training=False)
        query = Query(ops.cast(states[:, -1], "float32"))
        return query.remembered(self.memory, features)
