"""HMAR: the paper's model as functional Keras models."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from hmar_keras.config import TransformerConfig
from hmar_keras.layers import (
    BehaviorClassifier,
    BehaviorEncoder,
    Dropout,
    HistoricalBehaviorIndicators,
    ItemBehaviorEmbedding,
    PositionEmbedding,
    SequenceEncoder,
)
from hmar_keras.losses import BehaviorLoss
from hmar_keras.metrics import BehaviorAccuracy
from hmar_keras.models.sequential_recommender import (
    Query,
    SequentialRecommender,
    as_config,
    config_of,
    history_inputs,
    recommender_inputs,
    revived,
)
from hmar_keras.models.with_memory import log_memory, prepare_items, ranking_outputs
from hmar_keras.objectives import Objective, Output
from hmar_keras.schema import (
    BEHAVIOR,
    BEHAVIOR_IDS,
    CANDIDATE_IDS,
    ITEM_IDS,
    NEGATIVE_IDS,
)
from hmar_keras.settings import setting
from hmar_keras.training_log import TrainingLog

_TARGET_ALPHA, _OTHER_ALPHA = 0.7, 0.1  # the paper's usual weights


@dataclasses.dataclass(frozen=True)
class HMARConfig(TransformerConfig):
    """Settings of HMAR, in addition to those of `TransformerConfig` and its base classes.

    Behaviours that `alpha` leaves out get the paper's usual weights, 0.7 (target) or 0.1.

    Args:
        num_behavior_blocks: number of stacked behaviour encoders (Eq. 5 to 10); 0 for none.
        indicators: count historical behaviour indicators; if False, they are 0.
        variant: the network of the `"paper"`, or that of the authors' `"release"`: item embeddings
            times sqrt(d), no dense layer in Eq. 5, the input of each feed-forward network added to
            its output, and layer normalisation before the feed-forward network of the sequence
            encoder.
        theta: weight of the behaviour classification in Eq. 18.

    Raises:
        ValueError: if a setting has the wrong type or is out of range; the message names it and
            the valid values.

    Example:

    >>> from hmar_keras import Behaviors
    >>> config = HMARConfig(100, Behaviors(("view", "buy"), target="buy"), dim=32, num_heads=2)
    >>> config.alpha
    {'view': 0.1, 'buy': 0.7}
    >>> HMARConfig.from_dict(config.to_dict()) == config
    True
    """

    num_behavior_blocks: int = setting(1, at_least=0)
    indicators: bool = True
    variant: str = setting("paper", choices=("paper", "release"))
    theta: float = setting(0.1, at_least=0)

    def usual_alpha(self, behavior: str) -> float:
        """Returns the paper's weight of a behaviour that `alpha` leaves out."""
        return _TARGET_ALPHA if behavior == self.behaviors.target else _OTHER_ALPHA


@keras.saving.register_keras_serializable(package="hmar_keras")
class HMARBackbone(keras.Model):
    """HMAR without its heads, from histories to states.

    Inputs, a dict: `item_ids` and `behavior_ids`, int `[batch, length]`, left-padded with 0,
    `length <= config.max_length`. Output: z, float `[batch, length, dim]`, zero at padding;
    position t has seen the events up to and including t and nothing else.

    The attributes `indicators` and `item_encoder` encode items, including candidates.

    Args:
        config: an `HMARConfig` or its `to_dict()`.
        dtype: dtype of the layers, a name or a policy.
        **kwargs: as in `keras.Model`.
    """

    Settings = HMARConfig

    def __init__(
        self,
        config: HMARConfig | Mapping[str, Any],
        dtype: str | keras.dtype_policies.DTypePolicy | None = None,
        **kwargs: Any,
    ) -> None:
        config = as_config(HMARConfig, config)
        # Layers
        is_release = config.variant == "release"
        indicators = HistoricalBehaviorIndicators(
            config.num_behaviors, config.indicators, name="indicators"
        )
        item_encoder = ItemBehaviorEmbedding(
            config.num_items,
            config.dim,
            scale_embeddings=is_release,
            item_buckets=config.item_buckets,
            dtype=dtype,
            name="item_encoder",
        )
        position_embedding = PositionEmbedding(
            config.max_length, dtype=dtype, name="position_embedding"
        )
        dropout = Dropout(config.dropout, dtype=dtype, name="input_dropout")
        behavior_encoders = [
            BehaviorEncoder(
                config.num_behaviors,
                config.num_heads,
                config.dropout,
                projection="none" if is_release else "shared",
                feed_forward_residual=is_release,
                dtype=dtype,
                name=f"behavior_encoder_{block}",
            )
            for block in range(config.num_behavior_blocks)
        ]
        sequence_encoders = [
            SequenceEncoder(
                config.num_heads,
                config.dropout,
                feed_forward_residual=is_release,
                layer_norm=is_release,
                dtype=dtype,
                name=f"sequence_encoder_{block}",
            )
            for block in range(config.num_sequence_blocks)
        ]

        # Functional graph
        inputs = history_inputs()
        item_ids, behavior_ids = inputs[ITEM_IDS], inputs[BEHAVIOR_IDS]
        items = item_encoder(item_ids, indicators(item_ids, behavior_ids))  # Eq. 1 to 3
        encoded = dropout(position_embedding(items))  # Eq. 4
        latent = encoded
        for encoder in behavior_encoders:
            latent = encoder(latent, behavior_ids)  # Eq. 5 to 10
        residual = encoded
        for encoder in sequence_encoders:
            latent = residual = encoder(latent, residual, item_ids)  # Eq. 11 to 13
        super().__init__(inputs=inputs, outputs=latent, **kwargs)

        # Config
        self.config = config
        self._layers_policy = keras.dtype_policies.get(dtype)
        self.indicators = indicators
        self.item_encoder = item_encoder

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return config_of(self, self._layers_policy)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuilds the model from `get_config()`."""
        return revived(cls, config)


class CandidateItems(keras.Operation):
    """The item embeddings of all candidates, and of the first of each step, in one lookup.

    Both heads need the first candidate. A lookup for each head would add a row to the gradient of
    the table. This is an operation of the graph and not a layer, because its weights are the
    encoder's.

    Args:
        item_encoder: an `ItemBehaviorEmbedding`.

    Call arguments:
        candidate_ids: int `[batch, steps, candidates]`.

    Returns:
        float32 `[batch, steps, candidates, dim]` and `[batch, steps, dim]`.
    """

    def __init__(self, item_encoder):
        super().__init__()
        self._look_up = item_encoder.look_up
        self._dim = item_encoder.dim

    def call(self, candidate_ids):
        """Looks the candidates up."""
        items = self._look_up(candidate_ids)
        batch, steps, _, dim = ops.shape(items)
        # Not by indexing, because its gradient is several times slower on TensorFlow.
        first = ops.slice(items, (0, 0, 0, 0), (batch, steps, 1, dim))
        return items, ops.squeeze(first, axis=2)

    def compute_output_spec(self, candidate_ids):
        """Returns float32 `[batch, steps, candidates, dim]` and `[batch, steps, dim]`."""
        batch, steps, count = candidate_ids.shape
        shapes = (batch, steps, count, self._dim), (batch, steps, self._dim)
        return tuple(keras.KerasTensor(shape, "float32") for shape in shapes)


@keras.saving.register_keras_serializable(package="hmar_keras")
class HMAR(SequentialRecommender):
    """The complete model, for Keras's own `compile`, `fit`, `save` and `keras.saving.load_model`.

    Inputs: those of `SequentialRecommender`.

    Outputs, a dict:
        `ranking`: float32 `[batch, steps, candidates + negatives]`, logits (Eq. 14 before the
            sigmoid).
        `behavior`: float32 `[batch, steps, K]`, logits (Eq. 16) of the behaviour with which
            the user will touch candidate 0.
        `network`, only with a memory: float32 `[batch, steps, candidates + negatives - length]`,
            logits without the memory, and without the negatives that are the history.

    Args:
        config: an `HMARConfig` or its `to_dict()`.
        dtype: dtype of the layers, a name or a policy.
        **kwargs: as in `keras.Model`.

    Example:

    >>> from hmar_keras import Behaviors, HMARConfig
    >>> model = HMAR(HMARConfig(9, Behaviors(("view", "buy"), "buy"), dim=8, max_length=4))
    >>> history = {"item_ids": [[0, 3, 5, 3]], "behavior_ids": [[0, 1, 1, 2]]}
    >>> history = {name: ops.convert_to_tensor(ids, "int32") for name, ids in history.items()}
    >>> outputs = model({**history, "candidate_ids": ops.ones((1, 1, 6), "int32")})
    >>> tuple(outputs["ranking"].shape), tuple(outputs["behavior"].shape)
    ((1, 1, 6), (1, 1, 2))
    >>> tuple(model.score_catalog(history).shape)
    (1, 10)
    """

    Settings = HMARConfig

    def __init__(
        self,
        config: HMARConfig | Mapping[str, Any],
        dtype: str | keras.dtype_policies.DTypePolicy | None = None,
        **kwargs: Any,
    ) -> None:
        config = as_config(HMARConfig, config)
        # Layers
        backbone = HMARBackbone(config, dtype, name="backbone")
        memory = log_memory(config)
        classifier = BehaviorClassifier(config.num_behaviors, name=BEHAVIOR)

        # Functional graph
        inputs = recommender_inputs(self.features, config.shared_negatives, config.memory)
        history = {name: inputs[name] for name in (ITEM_IDS, BEHAVIOR_IDS)}
        item_ids, behavior_ids = history.values()
        states = backbone(history)
        counts = backbone.indicators(item_ids, behavior_ids, inputs[CANDIDATE_IDS])
        items, first = CandidateItems(backbone.item_encoder)(inputs[CANDIDATE_IDS])
        scores = backbone.item_encoder(  # Eq. 14
            inputs[CANDIDATE_IDS], counts, states, inputs.get(NEGATIVE_IDS), items
        )
        following = backbone.item_encoder(
            inputs[CANDIDATE_IDS][:, :, 0], counts[:, :, 0], items=first
        )
        outputs = {
            **ranking_outputs(memory, inputs, scores),
            BEHAVIOR: classifier(states, following),  # Eq. 16
        }
        super().__init__(config, dtype, inputs=inputs, outputs=outputs, **kwargs)

        self.backbone = backbone
        self.memory = memory

    @property
    def item_table(self):
        """The `ItemTable` of the items' embeddings."""
        return self.backbone.item_encoder.item_table

    def prepare(self, log: TrainingLog) -> None:
        """Initialises items and memory from the log as the settings say."""
        prepare_items(self, log)

    def objective(self) -> Objective:
        """Returns the objective of Eq. 18: the next item and its behaviour."""
        behavior = Output(BehaviorLoss(), self.config.theta, lambda: [BehaviorAccuracy()])
        return super().objective().with_output(BEHAVIOR, behavior)

    def query(self, features: Mapping[str, Any]) -> Query:
        """Returns how to score every item, see `SequentialRecommender.query`.

        Eq. 14 with Eq. 1 to 3 is linear in a candidate's indicators. One product with the encodings
        of all items without history is therefore enough, corrected at the few items that a user has
        touched and, with a memory, at those that go together with them.
        """
        item_ids, behavior_ids = features[ITEM_IDS], features[BEHAVIOR_IDS]
        states = self.backbone({ITEM_IDS: item_ids, BEHAVIOR_IDS: behavior_ids}, training=False)
        last = ops.cast(states[:, -1], "float32")
        vectors, offsets, by_behavior = self.backbone.item_encoder.catalog_query(last)
        gains = None
        if self.config.indicators and self.memory is None:  # which scores touched items alone
            # What each event of the history adds to its item's score.
            by_behavior = ops.pad(by_behavior, [[0, 0], [1, 0]])
            gains = ops.take_along_axis(by_behavior, ops.cast(behavior_ids, "int32"), axis=1)
            gains = ops.cast(item_ids, "int32"), gains
        return Query(vectors, offsets, gains=gains).remembered(self.memory, features)

    def behavior_logits(self, features: Mapping[str, Any], candidate_ids):
        """Returns the `behavior` output for each candidate: what the user would do to it.

        Args:
            features: what the model reads, by name; other entries are ignored.
            candidate_ids: int `[batch, candidates]`.

        Returns:
            float32 `[batch, candidates, K]`.
        """
        read = self.read(features)
        history = {name: read[name] for name in (ITEM_IDS, BEHAVIOR_IDS)}
        asked = ops.convert_to_tensor(candidate_ids, "int32")[:, None, :]
        states = self.backbone(history, training=False)
        counts = self.backbone.indicators(history[ITEM_IDS], history[BEHAVIOR_IDS], asked)
        candidates = self.backbone.item_encoder(asked, counts)[:, 0]
        # To the classifier, each candidate is a separate step after the newest event.
        last = ops.broadcast_to(states[:, -1:], ops.shape(candidates))
        return self.get_layer(BEHAVIOR)(last, candidates)
