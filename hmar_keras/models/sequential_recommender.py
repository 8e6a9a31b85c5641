"""What all models of this package have in common, and what a new one has to bring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from hmar_keras.config import MODELS, HMARConfig
from hmar_keras.layers import ItemNeighbors
from hmar_keras.schema import (
    BEHAVIOR_IDS,
    CANDIDATE_IDS,
    ITEM_IDS,
    NEGATIVE_IDS,
    PADDING_ID,
    RANKING,
    Behaviors,
)

LOWEST_SCORE = -3.4028235e38  # float32's most negative number, which every softmax survives


def as_config(config: HMARConfig | Mapping[str, Any]) -> HMARConfig:
    """An `HMARConfig`, also of its `to_dict()`."""
    return config if isinstance(config, HMARConfig) else HMARConfig.from_dict(config)


def config_of(model, policy):
    """Returns a model's settings and what every Keras layer keeps.

    Args:
        model: with `config`.
        policy: of its layers.
    """
    frozen = [n for n, layer in enumerate(_inner(model)) if not layer.trainable]
    return {
        "name": model.name,
        "dtype": keras.dtype_policies.serialize(policy),
        "config": model.config.to_dict(),
        **({"frozen": frozen} if frozen else {}),
    }


def revived(cls, config):
    """Returns the model that `config_of` tells of.

    Args:
        cls: its class.
        config: what `config_of` gave, also of an earlier version, with a name and settings alone.
    """
    arguments = {**config, "config": as_config(config["config"])}
    frozen = arguments.pop("frozen", ())
    if arguments.get("dtype"):
        arguments["dtype"] = keras.dtype_policies.deserialize(arguments["dtype"])
    model = cls(**arguments)
    layers = _inner(model)
    for number in frozen:
        layers[number].trainable = False
    return model


def _inner(model):
    """A model and all layers within, in an order that its constructor settles."""
    return list(model._flatten_layers())


def history_inputs():
    """`item_ids` and `behavior_ids`, int `[batch, length]`, by name."""
    return {
        name: keras.Input((None,), dtype="int32", name=name) for name in (ITEM_IDS, BEHAVIOR_IDS)
    }


def recommender_inputs(config):
    """All inputs of a model, by name; see `SequentialRecommender`."""
    inputs = {
        **history_inputs(),
        CANDIDATE_IDS: keras.Input((None, None), dtype="int32", name=CANDIDATE_IDS),
    }
    if config.shared_negatives:
        inputs[NEGATIVE_IDS] = keras.Input((None,), dtype="int32", name=NEGATIVE_IDS)
    return inputs


def item_neighbors(config, num_behaviors):
    """The `ItemNeighbors` that the settings ask for, or None."""
    if not config.num_neighbors:
        return None
    count = min(config.num_neighbors, config.num_items)
    return ItemNeighbors(config.num_items, count, num_behaviors, name="item_neighbors")


def hide_padding(scores):
    """Scores by item id, `[batch, num_items + 1]`, with `LOWEST_SCORE` for padding, 0."""
    padding = ops.equal(ops.arange(ops.shape(scores)[1]), PADDING_ID)
    return ops.where(padding[None], LOWEST_SCORE, scores)


class SequentialRecommender(keras.Model):
    """A functional model that scores what may come next.

    A new model is a subclass whose constructor takes a config, a `dtype` that its layers are given
    and that it passes on, and a `name`, builds a graph from `recommender_inputs(config)` to the
    output `ranking` and calls `super().__init__(config, dtype, inputs=..., outputs=..., name=...)`;
    and which is registered by `register_model`. Training, evaluation and export then work with it,
    the faster if it defines `item_table` and `catalog_query`. `examples/own_model.py` shows one.

    Inputs, a dict:
        `item_ids`, `behavior_ids`: int `[batch, length]`, left-padded with 0.
        `candidate_ids`: int `[batch, steps, candidates]`, items that may follow each of the last
            `steps` positions; in training candidate 0 is the item that did follow.
        `negative_ids`: int `[batch, negatives]`, only with `config.shared_negatives`: more
            candidates for every step, none of which is in the history; none outside training,
            `[batch, 0]`.

    Outputs, a dict:
        `ranking`: float32 `[batch, steps, candidates + negatives]`, logits.

    Args:
        config: an `HMARConfig`.
        dtype: of its layers, a name or a policy; kept with a saved model.
        **kwargs: as in `keras.Model`.
    """

    outputs_in_order: tuple[str, ...] = (RANKING,)

    def __init__(
        self,
        config: HMARConfig,
        dtype: str | keras.dtype_policies.DTypePolicy | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.config = config
        self._layers_policy = keras.dtype_policies.get(dtype)

    @classmethod
    def from_preset(
        cls,
        preset: str,
        num_items: int,
        behaviors: Behaviors,
        dtype: str | keras.dtype_policies.DTypePolicy | None = None,
        **changes: Any,
    ) -> SequentialRecommender:
        """Makes a model with the settings of a preset and initial weights.

        Args:
            preset: a name in `hmar_keras.PRESETS`.
            num_items: size of the catalogue.
            behaviors: names from weak to strong, and the target.
            dtype: of its layers.
            **changes: settings that differ from the preset.

        Raises:
            ValueError: if there is no such preset, it is of another model than this class, or a
                setting is wrong.

        Example:

        >>> from hmar_keras import HMAR, Behaviors
        >>> model = HMAR.from_preset("movielens", 9, Behaviors(("view", "buy"), "buy"), dim=8)
        >>> model.config.theta, model.config.dim
        (0.1, 8)
        """
        config = HMARConfig.preset(preset, num_items, behaviors, **changes)
        model = MODELS[config.model]
        if not issubclass(model, cls):
            raise ValueError(
                f"the preset {preset!r} is of {model.__name__}; ask {model.__name__}.from_preset."
            )
        return model(config, dtype)

    @property
    def item_table(self):
        """The `ItemTable` of the items' embeddings."""
        raise NotImplementedError(f"{type(self).__name__} must define item_table.")

    def catalog_query(self, item_ids, behavior_ids):
        """What the item table is asked with to score every item as the next one.

        The score of item i is `vectors . embedding(i) + offsets`, and what is gained at some
        items, as those of the history.

        Args:
            item_ids: int `[batch, length]`.
            behavior_ids: int `[batch, length]`.

        Returns:
            `(vectors, offsets, gains)`: float32 `[batch, dim]`; `[batch, 1]`, or None for no
            offsets; and None, or a pair `(item_ids, gains)`, int32 and float32 `[batch, n]`, of
            which an item that is there several times gets the sum.
        """
        raise NotImplementedError(f"{type(self).__name__} must define catalog_query.")

    def score_catalog(self, item_ids, behavior_ids):
        """Scores every item as the next one, what `ranking` gives for all of them.

        A model without a `catalog_query` is asked for the `ranking` of them, which takes long where
        there are many items.

        Args:
            item_ids: int `[batch, length]`.
            behavior_ids: int `[batch, length]`.

        Returns:
            float32 `[batch, num_items + 1]`, logits by item id; `LOWEST_SCORE` for padding, 0.
        """
        if type(self).catalog_query is SequentialRecommender.catalog_query:
            return self._score_all_candidates(item_ids, behavior_ids)
        vectors, offsets, gains = self.catalog_query(item_ids, behavior_ids)
        scores = self.item_table.dot_all_items(vectors)
        if offsets is not None:
            scores = scores + offsets
        if gains is not None:
            ids, gains = gains
            rows = ops.broadcast_to(ops.arange(ops.shape(ids)[0])[:, None], ops.shape(ids))
            where = ops.reshape(ops.stack([rows, ids], axis=-1), (-1, 2))
            scores = ops.scatter_update(scores, where, ops.reshape(gains, (-1,)), reduction="add")
        return hide_padding(scores)

    def _score_all_candidates(self, item_ids, behavior_ids):
        item_ids, behavior_ids = (
            ops.convert_to_tensor(ids, "int32") for ids in (item_ids, behavior_ids)
        )
        items = ops.arange(self.config.num_items + 1, dtype="int32")
        items = ops.broadcast_to(items, (ops.shape(item_ids)[0], self.config.num_items + 1))
        return hide_padding(self.score_candidates(item_ids, behavior_ids, items))

    def score_candidates(self, item_ids, behavior_ids, candidate_ids):
        """Scores some items as the next one.

        Args:
            item_ids: int `[batch, length]`.
            behavior_ids: int `[batch, length]`.
            candidate_ids: int `[batch, candidates]`.

        Returns:
            float32 `[batch, candidates]`, logits.
        """
        inputs = {
            ITEM_IDS: item_ids,
            BEHAVIOR_IDS: behavior_ids,
            CANDIDATE_IDS: candidate_ids[:, None, :],
        }
        if self.config.shared_negatives:
            inputs[NEGATIVE_IDS] = candidate_ids[:, :0]
        return self(inputs, training=False)[RANKING][:, 0]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return config_of(self, self._layers_policy)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuilds the model from `get_config()`."""
        return revived(cls, config)
