"""A model with a custom setting, output, loss, input and weight, and without a query.

It uses every part of the model contract. `hmar --import` and the tests in this folder import it.
"""

import dataclasses

import keras
from keras import ops

from hmar_keras import NextItemConfig, Output, SequentialRecommender, register_model, setting
from hmar_keras.losses import BehaviorLoss, EventLoss
from hmar_keras.models import recommender_inputs


@dataclasses.dataclass(frozen=True)
class TasteConfig(NextItemConfig):
    """Settings: `contrast` is the weight of the third output's loss; `num_users` is the log's."""

    num_users: int = 0
    contrast: float = setting(0.2, at_least=0)


class ContrastLoss(EventLoss):
    """A loss that moves users towards the items they turn to."""

    def __init__(self, **kwargs):
        super().__init__(**{"name": "contrast_loss", **kwargs})

    def call(self, y_true, y_pred):
        """Computes the loss from `[batch, steps]` truths and `[batch, steps, 1]` products."""
        return ops.softplus(-y_pred[..., 0])


@keras.saving.register_keras_serializable(package="tests")
class TasteScores(keras.layers.Layer):
    """Scores that are not plain products, with a bias counted by `prepare`."""

    def __init__(self, num_items, dim, **kwargs):
        super().__init__(**kwargs)
        self.items = keras.layers.Embedding(num_items + 1, dim, name="items")
        self.popularity = self.add_weight(
            shape=(num_items + 1,), initializer="zeros", trainable=False, name="popularity"
        )

    def call(self, states, candidate_ids, negative_ids=None):
        """Maps `[batch, length, dim]`, `[batch, steps, n]` to `[batch, steps, n + negatives]`."""
        states = states[:, ops.shape(states)[1] - ops.shape(candidate_ids)[1] :]
        scores = self._scores(states[:, :, None], candidate_ids)
        if negative_ids is None:
            return scores
        drawn = self._scores(states[:, :, None], negative_ids[:, None])
        return ops.concatenate([scores, drawn], axis=-1)

    def _scores(self, states, ids):
        popularity = ops.take(ops.convert_to_tensor(self.popularity), ids, axis=0)
        return ops.softplus(ops.sum(states * self.items(ids), axis=-1)) + popularity


@register_model("taste")
class Taste(SequentialRecommender):
    """Scores each item against the user and the user's last event."""

    Settings = TasteConfig
    features = ("item_ids", "behavior_ids", "user_ids")

    def __init__(self, config, dtype=None, **kwargs):
        scores = TasteScores(config.num_items, config.dim, name="ranking")
        users = keras.layers.Embedding(config.num_users + 1, config.dim, name="users")
        kinds = keras.layers.Embedding(config.num_behaviors + 1, config.dim, name="kinds")
        drop = keras.layers.Dropout(config.dropout)

        inputs = recommender_inputs(self.features, config.shared_negatives)
        candidates = inputs["candidate_ids"]
        user = users(inputs["user_ids"])[:, None]
        states = scores.items(inputs["item_ids"]) + kinds(inputs["behavior_ids"]) + user
        states = drop(ops.tanh(states))
        near = ops.sum(user * scores.items(candidates[:, :, 0]), axis=-1, keepdims=True)
        outputs = {
            "ranking": scores(states, candidates, inputs.get("negative_ids")),
            "behavior": keras.layers.Dense(config.num_behaviors, name="behavior")(states),
            "contrast": keras.layers.Identity(name="contrast")(near),
        }
        super().__init__(config, dtype, inputs=inputs, outputs=outputs, **kwargs)
        self.scores = scores

    def prepare(self, log):
        """Counts the popularity of the items."""
        self.scores.popularity.assign(log.popularity())

    def objective(self):
        """Returns an objective for the next item, its behaviour, and the user who turns to it."""
        objective = super().objective()
        objective.with_output("behavior", Output(BehaviorLoss(), weight=0.1))
        return objective.with_output("contrast", Output(ContrastLoss(), self.config.contrast))
