"""What all models of this package share, and what a new model must define."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import keras
import numpy as np
from keras import ops

from hmar_keras.config import ModelConfig, NextItemConfig
from hmar_keras.kernels import scatter_rows
from hmar_keras.layers import LogMemory, Remembered
from hmar_keras.objectives import NextItem, Objective
from hmar_keras.presets import preset_settings
from hmar_keras.schema import (
    ANSWER_BEHAVIORS,
    BEHAVIOR_IDS,
    CANDIDATE_IDS,
    ITEM_IDS,
    MEMORY_INPUTS,
    NEGATIVE_IDS,
    PADDING_ID,
    RANKING,
    TIMESTAMPS,
    USER_IDS,
    Behaviors,
)
from hmar_keras.training_log import TrainingLog

# Model classes by name; `register_model` adds to them.
MODELS: dict[str, type[SequentialRecommender]] = {}
LOWEST_SCORE = -3.4028235e38  # the most negative float32, which no softmax turns into NaN
_CANDIDATES_AT_ONCE = 2048  # if no single product scores the whole catalogue
_Config = TypeVar("_Config", bound=ModelConfig)
_DTYPES = {TIMESTAMPS: "float32"}
_SHAPES = {USER_IDS: ()}


def as_config(kind: type[_Config], config: ModelConfig | Mapping[str, Any]) -> _Config:
    """Returns settings of a class, given as such or as their `to_dict()`.

    Raises:
        ValueError: if the settings belong to another class.
    """
    if isinstance(config, Mapping):
        return kind.from_dict(config)
    if not isinstance(config, kind):
        raise ValueError(f"the settings must be a {kind.__name__}, got {config!r}.")
    return config


def config_of(model, policy):
    """Returns a model's settings and what every Keras layer stores.

    Args:
        model: a model with a `config`.
        policy: the dtype policy of its layers.
    """
    frozen = [n for n, layer in enumerate(_inner(model)) if not layer.trainable]
    return {
        "name": model.name,
        "dtype": keras.dtype_policies.serialize(policy),
        "config": model.config.to_dict(),
        **({"frozen": frozen} if frozen else {}),
    }


def revived(cls, config):
    """Rebuilds a model from the result of `config_of`.

    Args:
        cls: class of the model.
        config: the result of `config_of`; in earlier versions, only a name and settings.
    """
    arguments = {**config, "config": as_config(cls.Settings, config["config"])}
    frozen = arguments.pop("frozen", ())
    if arguments.get("dtype"):
        arguments["dtype"] = keras.dtype_policies.deserialize(arguments["dtype"])
    model = cls(**arguments)
    layers = _inner(model)
    for number in frozen:
        layers[number].trainable = False
    return model


def _inner(model):
    """Returns a model and all layers inside it, in an order that its constructor determines."""
    return list(model._flatten_layers())


def history_inputs(features: Sequence[str] = (ITEM_IDS, BEHAVIOR_IDS)) -> dict[str, Any]:
    """Creates graph inputs for what a model reads, by name; for shapes see `hmar_keras.schema`."""
    return {
        name: keras.Input(_SHAPES.get(name, (None,)), dtype=_DTYPES.get(name, "int32"), name=name)
        for name in features
    }


def recommender_inputs(
    features: Sequence[str] = (ITEM_IDS, BEHAVIOR_IDS),
    shared_negatives: bool = False,
    memory: bool = False,
) -> dict[str, Any]:
    """Creates all graph inputs of a model, by name; see `SequentialRecommender`.

    Args:
        features: the model's features.
        shared_negatives: whether the model's objective has shared negatives.
        memory: whether the model has a `LogMemory`.
    """
    inputs = {
        **history_inputs(features),
        CANDIDATE_IDS: keras.Input((None, None), dtype="int32", name=CANDIDATE_IDS),
    }
    if shared_negatives:
        inputs[NEGATIVE_IDS] = keras.Input((None,), dtype="int32", name=NEGATIVE_IDS)
    if memory:
        inputs[ANSWER_BEHAVIORS] = keras.Input((None,), dtype="int32", name=ANSWER_BEHAVIORS)
        for name in MEMORY_INPUTS[1:]:
            inputs[name] = keras.Input((None, None), name=name)
    return inputs


@dataclasses.dataclass(frozen=True)
class Query:
    """A query to the item table that scores every item as the next one.

    The score of item i is `vectors . embedding(i) + offsets`, plus `gains` at some items, such as
    those of the history, and what a memory adds; touched items have the score of the memory alone.

    Args:
        vectors: float32 `[batch, dim]`.
        offsets: float32 `[batch, 1]`, or None for none.
        gains: None, or a pair `(item_ids, gains)`, int32 and float32 `[batch, n]`. An item that
            occurs several times gets the sum.
        memory: what a `LogMemory` adds, or None.
    """

    vectors: Any
    offsets: Any = None
    gains: tuple[Any, Any] | None = None
    memory: Remembered | None = None

    def remembered(self, memory: LogMemory | None, features: Mapping[str, Any]) -> Query:
        """Adds the scores of a memory, unless it is None, from `features` with the history."""
        if memory is None:
            return self
        found = memory.catalog(features[ITEM_IDS], features[BEHAVIOR_IDS])
        offsets = None if self.offsets is None else found.gate * self.offsets
        gains = None if self.gains is None else (self.gains[0], found.gate * self.gains[1])
        return Query(found.gate * self.vectors, offsets, gains, found)


def hide_padding(scores):
    """Sets the score of padding, id 0 of `[batch, num_items + 1]`, to `LOWEST_SCORE`."""
    padding = ops.equal(ops.arange(ops.shape(scores)[1]), PADDING_ID)
    return ops.where(padding[None], LOWEST_SCORE, scores)


class SequentialRecommender(keras.Model):
    """A functional model that scores the next item, and the contract of all such models.

    A new model is a subclass, registered by `register_model`. Its constructor takes a config, a
    `dtype` and a `name`. It gives its layers the `dtype`, builds a graph from
    `recommender_inputs(self.features, ...)` to the output `ranking` and calls
    `super().__init__(config, dtype, inputs=..., outputs=..., name=...)`. Optionally, the subclass
    defines its own `Settings` class, `features`, `prepare`, `objective`, and `item_table` with
    `query`. Training, evaluation, search, export and serving then work with it.
    `docs/pages/own_model.md` shows an example.

    Inputs, a dict:
        those that `features` names: `item_ids`, `behavior_ids`, int `[batch, length]`, left-padded
            with 0; `user_ids`, int `[batch]`; `timestamps`, float `[batch, length]`, see
            `hmar_keras.schema`.
        `candidate_ids`: int `[batch, steps, candidates]`, items that may follow each of the last
            `steps` positions; in training candidate 0 is the item that did follow.
        `negative_ids`: int `[batch, negatives]`, only if the objective has shared negatives: more
            candidates for every step, none of which is in the history; with a memory, the history
            comes first. Outside training there are none, `[batch, 0]`.
        those in `hmar_keras.schema.MEMORY_INPUTS`, only with a memory, see `LogMemory`.

    Outputs, a dict:
        `ranking`: float32 `[batch, steps, candidates + negatives]`, logits.
        `network`: only with a memory, the logits without it, see
            `hmar_keras.models.with_memory.ranking_outputs`.
        any other outputs that the objective names.

    Args:
        config: the model's `Settings`.
        dtype: dtype of its layers, a name or a policy; saved with the model.
        **kwargs: as in `keras.Model`.

    Attributes:
        Settings: a frozen dataclass, see `hmar_keras.config.ModelConfig`.
        features: what the model reads about a user, out of `hmar_keras.schema.FEATURES`.
    """

    Settings: ClassVar[type[ModelConfig]] = NextItemConfig
    features: tuple[str, ...] = (ITEM_IDS, BEHAVIOR_IDS)

    def __init__(
        self,
        config: Any,
        dtype: str | keras.dtype_policies.DTypePolicy | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.config = config
        self._layers_policy = keras.dtype_policies.get(dtype)

    def prepare(self, log: TrainingLog) -> None:
        """Initialises weights from the training events; by default does nothing.

        Called once, before the first step, when the model has its initial weights. The weights that
        it sets need not be trainable; they are saved, resumed and exported like all weights.

        Args:
            log: the training events that the model sees; it gives access to no others.
        """

    def objective(self) -> Objective:
        """Returns what the model is trained on; by default `NextItem` with the model's settings."""
        return NextItem.of(self.config)

    def query(self, features: Mapping[str, Any]) -> Query | None:
        """Returns the query that scores every item, or None if scores are not products.

        With None, items are scored in chunks of candidates, which is slow for large catalogues.

        Args:
            features: tensors that the model reads, by name, in the form that `question` of the
                objective returns.
        """
        return None

    @classmethod
    def from_preset(
        cls,
        preset: str,
        num_items: int,
        behaviors: Behaviors,
        dtype: str | keras.dtype_policies.DTypePolicy | None = None,
        **changes: Any,
    ) -> SequentialRecommender:
        """Creates a model with the settings of a preset and initial weights.

        `TrainingConfig.preset` has the training settings of a preset.

        Args:
            preset: a name in `hmar_keras.PRESETS`.
            num_items: size of the catalogue.
            behaviors: names from weak to strong, and the target.
            dtype: dtype of its layers.
            **changes: settings that differ from the preset.

        Raises:
            ValueError: if there is no such preset, it belongs to another model class, or a setting
                is not valid.

        Example:

        >>> from hmar_keras import HMAR, Behaviors
        >>> model = HMAR.from_preset("movielens", 9, Behaviors(("view", "buy"), "buy"), dim=8)
        >>> model.config.theta, model.config.dim
        (0.1, 8)
        """
        settings = preset_settings(preset, behaviors)
        model = MODELS[settings["model"]]
        if not issubclass(model, cls):
            raise ValueError(
                f"the preset {preset!r} is for {model.__name__}; use {model.__name__}.from_preset."
            )
        known = model.Settings.names()
        settings = {name: value for name, value in settings.items() if name in known}
        asked = {"num_items": num_items, "behaviors": behaviors, **settings, **changes}
        return model(model.Settings.from_dict(asked), dtype)

    @property
    def item_table(self):
        """The `ItemTable` of the items' embeddings."""
        raise NotImplementedError(f"{type(self).__name__} must define item_table.")

    def score_catalog(self, features: Mapping[str, Any]):
        """Scores every item as the next one: the output `ranking` for the whole catalogue.

        Args:
            features: what the model reads, by name; other entries are ignored.

        Returns:
            float32 `[batch, num_items + 1]`, logits by item id, with `LOWEST_SCORE` for padding, 0.
        """
        query = self.query(self.question(features))
        if query is None:
            return hide_padding(self._score_one_by_one(features))
        scores = self.item_table.dot_all_items(query.vectors)[:, : self.config.num_items + 1]
        if query.offsets is not None:
            scores = scores + query.offsets
        if query.gains is not None:
            scores = scatter_rows(scores, *query.gains, "add")
        if query.memory is not None:
            scores, touched = scores + query.memory.scores, query.memory.touched_ids
            alone = ops.take_along_axis(query.memory.scores, touched, axis=1)
            scores = scatter_rows(scores, touched, alone)
        return hide_padding(scores)

    def read(self, features: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the entries of `features` that the model reads, as tensors."""
        return {
            name: ops.convert_to_tensor(features[name], _DTYPES.get(name, "int32"))
            for name in self.features
        }

    def question(self, features: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what the model reads, in the form that asks for the next item."""
        return self.objective().question(self.read(features))

    def _score_one_by_one(self, features):
        """Scores every item in chunks of candidates, so that memory is bounded."""
        features = self.read(features)
        rows, count = ops.shape(features[self.features[0]])[0], self.config.num_items + 1

        def score(items):
            asked = ops.broadcast_to(items[None], (rows, items.shape[0]))
            return self.score_candidates(features, asked)

        if count <= _CANDIDATES_AT_ONCE:
            return score(ops.arange(count, dtype="int32"))
        parts = -(-count // _CANDIDATES_AT_ONCE)
        items = np.arange(parts * _CANDIDATES_AT_ONCE, dtype=np.int32)
        items[count:] = PADDING_ID
        scores = ops.map(score, ops.convert_to_tensor(items.reshape(parts, -1)))
        scores = ops.reshape(ops.transpose(scores, (1, 0, 2)), (rows, -1))
        return scores[:, :count]

    def score_candidates(self, features: Mapping[str, Any], candidate_ids):
        """Scores the given items as the next one.

        Args:
            features: what the model reads, by name; other entries are ignored.
            candidate_ids: int `[batch, candidates]`.

        Returns:
            float32 `[batch, candidates]`, logits.
        """
        return self.outputs_for(features, candidate_ids)[RANKING][:, 0]

    def outputs_for(self, features: Mapping[str, Any], candidate_ids) -> dict[str, Any]:
        """Returns all outputs of the model, of one step, for the given items as the next one.

        Args:
            features: what the model reads, by name; other entries are ignored.
            candidate_ids: int `[batch, candidates]`.
        """
        question = self.question(features)
        candidate_ids = ops.convert_to_tensor(candidate_ids, "int32")
        inputs = {**question, CANDIDATE_IDS: candidate_ids[:, None, :]}
        if NEGATIVE_IDS in self.input:
            inputs[NEGATIVE_IDS] = candidate_ids[:, :0]
        return self(inputs, training=False)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return config_of(self, self._layers_policy)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuilds the model from `get_config()`."""
        return revived(cls, config)
