"""HMAR written straight from the paper's equations in stock Keras 3: the reference for speed.

K behaviour encoders one after another, every candidate encoded by Eq. 1 to 3, batches padded to
`max_length`, `keras.optimizers.Adam`. The indicators, for which Keras has no layer, and the losses
are hmar_keras's own, so they favour neither side. Values and gradients are those of
`hmar_keras.HMAR`, which a test checks.
"""

import keras
from keras import ops

from hmar_keras import HMARConfig, NextItem, Objective, Output, TrainingConfig, compile_arguments
from hmar_keras.layers import HistoricalBehaviorIndicators
from hmar_keras.losses import BehaviorLoss
from hmar_keras.metrics import BehaviorAccuracy
from hmar_keras.schema import BEHAVIOR, BEHAVIOR_IDS, CANDIDATE_IDS, ITEM_IDS, RANKING


class PlainAttention(keras.layers.Layer):
    """SA(x) of Eq. 6 and 11; `mask` is bool `[batch, query, key]`."""

    def __init__(self, dim, num_heads, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.query, self.key, self.value = (
            keras.layers.Dense(dim, use_bias=False, name=name) for name in ("query", "key", "value")
        )

    def call(self, inputs, mask):
        """Attends under the mask."""
        batch, length, dim = ops.shape(inputs)
        heads = (batch, length, self.num_heads, dim // self.num_heads)
        projections = [
            ops.reshape(dense(inputs), heads) for dense in (self.query, self.key, self.value)
        ]
        attended = ops.dot_product_attention(*projections, mask=mask[:, None])
        return ops.reshape(attended, (batch, length, dim))


class PlainFeedForward(keras.layers.Layer):
    """FFN(x) of Eq. 7 and 13."""

    def __init__(self, dim, dropout, **kwargs):
        super().__init__(**kwargs)
        self.hidden = keras.layers.Dense(dim, activation="relu")
        self.output_dense = keras.layers.Dense(dim)
        self.drops = [keras.layers.Dropout(dropout), keras.layers.Dropout(dropout)]

    def call(self, inputs, training=None):
        """Applies the network."""
        hidden = self.drops[0](self.hidden(inputs), training=training)
        return self.drops[1](self.output_dense(hidden), training=training)


class PlainBehaviorEncoder(keras.layers.Layer):
    """The encoder of one behaviour (Eq. 5 to 9); `input_dense` (W_e) is shared by all K."""

    def __init__(self, config, input_dense, **kwargs):
        super().__init__(**kwargs)
        self.input_dense = input_dense
        self.attention = PlainAttention(config.dim, config.num_heads)
        self.feed_forward = PlainFeedForward(config.dim, config.dropout)

    def build(self, inputs_shape, of_behavior_shape):
        """Creates gamma."""
        self.gamma = self.add_weight(shape=(), initializer="zeros", name="gamma")

    def call(self, inputs, of_behavior, training=None):
        """Encodes the positions where `of_behavior`, bool `[batch, length]`, is True."""
        masked = inputs * ops.cast(of_behavior, inputs.dtype)[..., None]
        encoded = self.input_dense(masked)  # Eq. 5
        encoded = self.attention(encoded, _not_later(of_behavior))  # Eq. 6
        encoded = self.feed_forward(encoded, training=training)  # Eq. 7
        encoded = encoded + self.gamma * masked  # Eq. 8
        return encoded * ops.cast(of_behavior, inputs.dtype)[..., None]  # Eq. 9


class PlainHMAR(keras.Model):
    """A plain model with the inputs and outputs of `hmar_keras.HMAR`.

    Args:
        config: settings with one block of each encoder and the paper's variant, as in all presets
            of HMAR.
    """

    features = (ITEM_IDS, BEHAVIOR_IDS)

    def __init__(self, config: HMARConfig):
        super().__init__()
        dim = config.dim
        self.config = config
        self.indicators = HistoricalBehaviorIndicators(config.num_behaviors)
        self.items = keras.layers.Embedding(config.num_items + 1, dim)
        self.indicator_dense = keras.layers.Dense(dim)
        self.combine = keras.layers.Dense(dim)
        self.positions = keras.layers.Embedding(config.max_length, dim)
        self.drop = keras.layers.Dropout(config.dropout)
        input_dense = keras.layers.Dense(dim)
        self.behavior_encoders = [
            PlainBehaviorEncoder(config, input_dense) for _ in range(config.num_behaviors)
        ]
        self.attention = PlainAttention(dim, config.num_heads)
        self.feed_forward = PlainFeedForward(dim, config.dropout)
        self.classifier = [keras.layers.Dense(dim), keras.layers.Dense(config.num_behaviors)]

    def build(self, input_shape):
        """Creates the bias of Eq. 1; the layers build themselves."""
        self.item_bias = self.add_weight(
            shape=(self.config.dim,), initializer="zeros", name="item_bias"
        )
        super().build(input_shape)

    def call(self, inputs, training=None):
        """Computes the logits of the candidates and of the behaviour on the first candidate."""
        item_ids, behavior_ids = inputs[ITEM_IDS], inputs[BEHAVIOR_IDS]
        candidate_ids = inputs[CANDIDATE_IDS]
        states = self._states(item_ids, behavior_ids, training)
        counts = self.indicators(item_ids, behavior_ids, candidate_ids)
        candidates = self._encode(candidate_ids, counts)
        states = states[:, -ops.shape(candidate_ids)[1] :]
        hidden, output = self.classifier
        both = ops.concatenate([states, candidates[:, :, 0]], axis=-1)
        return {
            RANKING: ops.sum(states[:, :, None] * candidates, axis=-1),  # Eq. 14
            BEHAVIOR: output(hidden(both)),  # Eq. 16
        }

    def objective(self) -> Objective:
        """Returns the objective of HMAR, Eq. 18."""
        behavior = Output(BehaviorLoss(), self.config.theta, lambda: [BehaviorAccuracy()])
        return NextItem.of(self.config).with_output(BEHAVIOR, behavior)

    def _encode(self, item_ids, counts):
        item = self.items(item_ids) + self.item_bias  # Eq. 1
        encoded = self.combine(ops.concatenate([item, self.indicator_dense(counts)], axis=-1))
        return encoded * ops.cast(item_ids > 0, encoded.dtype)[..., None]  # Eq. 2 and 3

    def _states(self, item_ids, behavior_ids, training):
        length = ops.shape(item_ids)[1]
        positions = ops.arange(self.config.max_length)[-length:]
        encoded = self._encode(item_ids, self.indicators(item_ids, behavior_ids))
        encoded = self.drop(encoded + self.positions(positions), training=training)  # Eq. 4
        latent = sum(
            encoder(encoded, ops.equal(behavior_ids, behavior), training=training)
            for behavior, encoder in enumerate(self.behavior_encoders, start=1)
        )  # Eq. 10
        real = item_ids > 0
        attended = self.attention(latent, _not_later(real)) + encoded  # Eq. 11 and 12
        outputs = self.feed_forward(attended, training=training)  # Eq. 13
        return outputs * ops.cast(real, outputs.dtype)[..., None]


def plain_compile_arguments(model: PlainHMAR, training: TrainingConfig) -> dict:
    """Returns those of `hmar_keras.compile_arguments`, but with Keras's own Adam."""
    adam = keras.optimizers.Adam(training.learning_rate, beta_2=training.adam_beta_2)
    return {**compile_arguments(model, training), "optimizer": adam}


def _not_later(keys):
    """Returns which keys of `[batch, length]` do not come later: bool `[batch, query, key]`."""
    length = ops.shape(keys)[1]
    causal = ops.arange(length)[:, None] >= ops.arange(length)[None, :]
    return ops.logical_and(causal[None], keys[:, None, :])
