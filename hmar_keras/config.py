"""Settings that models share; the settings of a single model are in the file of that model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from hmar_keras.earlier_settings import saved_settings
from hmar_keras.schema import Behaviors
from hmar_keras.settings import Settings, is_number, setting


@dataclasses.dataclass(frozen=True)
class ModelConfig(Settings):
    """What every model knows about the log, and how much of the log it sees.

    The settings of a model are a frozen dataclass that inherits from this class or from
    `NextItemConfig`, with defaults declared by `hmar_keras.settings.setting`. If it has a field
    `num_users`, `hmar train` fills it in, as it does `num_items`.

    Args:
        num_items: size I of the catalogue; item ids run from 1 to I.
        behaviors: names from weak to strong, and the target; a dict with the keys `names` and
            `target` is accepted too.
        input_behaviors: which events the model sees: `"all"`, or only those of the `"target"`
            behaviour.
        max_length: how many of a user's most recent events the model sees.

    Raises:
        ValueError: if a setting has the wrong type or is out of range; the message names it and
            the valid values.
    """

    num_items: int
    behaviors: Behaviors
    input_behaviors: str = setting("all", choices=("all", "target"))
    max_length: int = setting(50, above=0)

    def __post_init__(self):
        if isinstance(self.behaviors, Mapping):
            if set(self.behaviors) != {"names", "target"}:
                raise ValueError(
                    f"behaviors must have the keys names and target, got {self.behaviors!r}."
                )
            object.__setattr__(self, "behaviors", Behaviors(**self.behaviors))
        if not isinstance(self.behaviors, Behaviors):
            raise ValueError(f"behaviors must be a Behaviors, got {self.behaviors!r}.")
        whole = isinstance(self.num_items, int) and not isinstance(self.num_items, bool)
        if not whole or self.num_items < 1:
            raise ValueError(f"num_items must be a whole number above 0, got {self.num_items!r}.")
        super().__post_init__()

    @property
    def num_behaviors(self) -> int:
        """Number of behaviours K."""
        return len(self.behaviors)

    def to_dict(self) -> dict[str, Any]:
        """Returns all settings as plain numbers, strings, lists and dicts."""
        settings = super().to_dict()
        settings["behaviors"]["names"] = list(self.behaviors.names)
        return settings

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Self:
        """Creates settings from `to_dict()`, or from what earlier versions saved with a model.

        Raises:
            ValueError: if a setting is unknown, missing or not valid.
        """
        return super().from_dict(saved_settings(settings, cls.names()))


@dataclasses.dataclass(frozen=True)
class NextItemConfig(ModelConfig):
    """Settings of a model that is trained to predict the next item, see `hmar_keras.NextItem`.

    The default `Settings` of a model.

    Args:
        dim: width d of all embeddings and layers.
        dropout: dropout rate, in [0, 1).
        loss: ranking loss: `"bce"`, Eq. 15; `"gbce"`, its variant for few negatives out of many
            items (`hmar_keras.losses.GBCELoss`); or `"sampled_softmax"`.
        gbce_calibration: t of gBCE, in [0, 1].
        alpha: weight of each behaviour's positives in the loss, by behaviour name. Behaviours that
            are left out have weight 1.
        beta: weight of the negatives in Eq. 15 and gBCE; a softmax has none.
        num_negatives: negatives per position in training.
        shared_negatives: draw the negatives once per window, for all its positions, so that
            hundreds of them cost little.
        labels: which next items are labels of the ranking loss: `"all"`, or only `"new_items"`,
            which the user has not touched before. The latter suits evaluation on new items only;
            with it, every item that the user has touched is a negative.
        training_windows: `"last"` trains on each user's most recent `max_length` events, as the
            paper does; `"all"` cuts the whole history into windows of that length.
        training_order: order of the events in a window: `"time"`, or `"random"`, which keeps the
            events on an item together and shuffles the items in every epoch. The latter suits logs
            whose held-out items are not the last ones.

    Raises:
        ValueError: if a setting has the wrong type or is out of range; the message names it and
            the valid values.
    """

    dim: int = setting(64, above=0)
    dropout: float = setting(0.2, at_least=0, below=1)
    loss: str = setting("bce", choices=("bce", "gbce", "sampled_softmax"))
    gbce_calibration: float = setting(0.75, at_least=0, at_most=1)
    alpha: Mapping[str, float] = dataclasses.field(default_factory=dict)
    beta: float = setting(1.0, at_least=0)
    num_negatives: int = setting(1, above=0)
    shared_negatives: bool = False
    labels: str = setting("all", choices=("all", "new_items"))
    training_windows: str = setting("last", choices=("last", "all"))
    training_order: str = setting("time", choices=("time", "random"))

    def check(self) -> None:
        """Checks `alpha` and adds the behaviours that it leaves out."""
        super().check()
        if not isinstance(self.alpha, Mapping):
            raise ValueError(f"alpha must map behaviour names to weights, got {self.alpha!r}.")
        for name, weight in self.alpha.items():
            if name not in self.behaviors.names:
                raise ValueError(
                    f"alpha names the unknown behaviour {name!r}; the behaviours are "
                    f"{', '.join(self.behaviors.names)}."
                )
            if not is_number(weight) or weight < 0:
                raise ValueError(
                    f"alpha of {name!r} must be a number of at least 0, got {weight!r}."
                )
        complete = {
            name: float(self.alpha.get(name, self.usual_alpha(name)))
            for name in self.behaviors.names
        }
        object.__setattr__(self, "alpha", complete)

    def usual_alpha(self, behavior: str) -> float:
        """Returns the weight of a behaviour that `alpha` leaves out."""
        return 1.0

    @property
    def sampling_rate(self) -> float:
        """Negatives per position divided by the items to draw from; above 1, items repeat."""
        return self.num_negatives / max(1, self.num_items - 1)

    @property
    def alpha_by_id(self) -> list[float]:
        """Weights of the positives in the order of the behaviour ids, from id 1."""
        return [self.alpha[name] for name in self.behaviors.names]


@dataclasses.dataclass(frozen=True)
class TransformerConfig(NextItemConfig):
    """Settings that HMAR and SASRec share: attention blocks on top of an item table.

    Args:
        num_heads: attention heads H of each encoder; must divide `dim`.
        num_sequence_blocks: number of stacked sequence encoders.
        memory: add to the scores what simple rules know, and train on touched items as candidates,
            too; see `hmar_keras.layers.LogMemory`. The model's `prepare` counts the log. Needs
            `loss="sampled_softmax"` and `shared_negatives`.
        item_buckets: for catalogues too large for one row per item: hash each item to two rows out
            of twice this many, see `hmar_keras.layers.HashedItemTable`. 0 keeps one row per item.
        item_start: initial item embeddings: `"random"`, or `"cooccurrence"`, the leading singular
            vectors of the training events as a matrix of users and items, which saves most of the
            epochs where items are rare. Not with `item_buckets`. The model's `prepare` computes
            them.

    Raises:
        ValueError: if a setting has the wrong type or is out of range; the message names it and
            the valid values.
    """

    num_heads: int = setting(1, above=0)
    num_sequence_blocks: int = setting(1, above=0)
    memory: bool = False
    item_buckets: int = setting(0, at_least=0)
    item_start: str = setting("random", choices=("random", "cooccurrence"))

    def check(self) -> None:
        """Checks that the heads divide the width, and that `item_start` has rows to write to."""
        super().check()
        if self.dim % self.num_heads:
            raise ValueError(
                f"num_heads must divide dim, got num_heads={self.num_heads} and dim={self.dim}; "
                f"choose a divisor of {self.dim}."
            )
        if self.memory and not (self.loss == "sampled_softmax" and self.shared_negatives):
            raise ValueError(
                "memory needs loss=sampled_softmax and shared_negatives=true; set both, or set "
                "memory=false."
            )
        if self.item_buckets and self.item_start == "cooccurrence":
            raise ValueError(
                "item_start=cooccurrence needs one row per item; set item_buckets to 0 or "
                "item_start to random."
            )
