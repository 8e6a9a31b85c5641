"""Settings of models: what all of them have, what most share; each model's own stand beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from hmar_keras.earlier_settings import saved_settings
from hmar_keras.schema import Behaviors
from hmar_keras.settings import Settings, is_number, setting


@dataclasses.dataclass(frozen=True)
class ModelConfig(Settings):
    """What every model knows of the log, and how much of it it sees.

    A model's own settings are a frozen dataclass that inherits from this class, or from
    `NextItemConfig`, whose defaults are made by `hmar_keras.settings.setting`. Where it has a field
    `num_users`, `hmar train` fills it in like `num_items`.

    Args:
        num_items: size of the catalogue I; item ids run from 1 to I.
        behaviors: names from weak to strong, and the target; also accepted as a dict with the
            keys `names` and `target`.
        input_behaviors: `"all"` events are the model's input, or those of the `"target"` behaviour
            alone.
        max_length: the most recent events of a user that the model sees.

    Raises:
        ValueError: if a setting is of the wrong kind or out of range, naming it and what would
            do.
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
            raise ValueError(f"num_items must be a whole number from 1, got {self.num_items!r}.")
        super().__post_init__()

    @property
    def num_behaviors(self) -> int:
        """Number of behaviours K."""
        return len(self.behaviors)

    def to_dict(self) -> dict[str, Any]:
        """All settings as plain numbers, strings, lists and dicts."""
        settings = super().to_dict()
        settings["behaviors"]["names"] = list(self.behaviors.names)
        return settings

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Self:
        """The reverse of `to_dict`; also reads what earlier versions saved with a model.

        Raises:
            ValueError: if a setting is unknown, missing or wrong.
        """
        return super().from_dict(saved_settings(settings, cls.names()))


@dataclasses.dataclass(frozen=True)
class NextItemConfig(ModelConfig):
    """Settings of a model that is trained to tell the next item, see `hmar_keras.NextItem`.

    What a model has for settings if it does not say otherwise.

    Args:
        dim: width d of every embedding and layer.
        dropout: dropout rate, in [0, 1).
        loss: of the ranking: `"bce"`, Eq. 15; `"gbce"`, its form for few negatives out of many
            items (`hmar_keras.losses.GBCELoss`); or `"sampled_softmax"`.
        gbce_calibration: t of gBCE, in [0, 1].
        alpha: weight of each behaviour's positives in the loss, by behaviour name. Behaviours left
            out weigh 1.
        beta: weight of the negatives in Eq. 15 and gBCE; a softmax has none.
        num_negatives: negatives a position in training.
        shared_negatives: draw them once a window, for all its positions: hundreds then cost
            little.
        labels: `"all"` next items are labels of the ranking loss, or only `"new_items"`, which the
            user has not touched before. The second is for questions about such items alone; every
            item that the user has touched is then a negative.
        training_windows: `"last"` trains on each user's most recent `max_length` events, as the
            paper does; `"all"` cuts the whole history into windows of that length.
        training_order: of a window's events: `"time"`, or `"random"`, which keeps the events on an
            item together and shuffles the items in every epoch, for logs whose held-out items are
            not the last ones.

    Raises:
        ValueError: if a setting is of the wrong kind or out of range, naming it.
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
        """Completes `alpha`."""
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
                raise ValueError(f"alpha of {name!r} must be a number from 0, got {weight!r}.")
        complete = {
            name: float(self.alpha.get(name, self.usual_alpha(name)))
            for name in self.behaviors.names
        }
        object.__setattr__(self, "alpha", complete)

    def usual_alpha(self, behavior: str) -> float:
        """The weight of a behaviour that `alpha` leaves out."""
        return 1.0

    @property
    def sampling_rate(self) -> float:
        """Negatives a position over items that could be drawn; above 1 items are drawn twice."""
        return self.num_negatives / max(1, self.num_items - 1)

    @property
    def alpha_by_id(self) -> list[float]:
        """The weights of the positives in the order of the behaviour ids, from id 1."""
        return [self.alpha[name] for name in self.behaviors.names]


@dataclasses.dataclass(frozen=True)
class TransformerConfig(NextItemConfig):
    """Settings that HMAR and SASRec share: blocks of attention over a table of items.

    Args:
        num_heads: attention heads H of every encoder; must divide `dim`.
        num_sequence_blocks: sequence encoders on top of each other.
        num_neighbors: add to a candidate's score how alike it is to the items of the history, by
            the users they share, for this many most alike items of each, see
            `hmar_keras.layers.ItemNeighbors`. 0 for none. The model's `prepare` counts them.
        neighbor_weight: how much it counts at first: 1 for what would predict the log best alone;
            more leaves less to be learned beside it.
        item_buckets: for catalogues too large for a row an item: hash each item to two of twice
            this many rows, see `hmar_keras.layers.HashedItemTable`. 0 keeps a row an item.
        item_start: where the item embeddings begin: `"random"`, or `"cooccurrence"`, at the leading
            singular vectors of who touched what in training, which saves most of the epochs where
            items are seldom; not with `item_buckets`. The model's `prepare` finds them.

    Raises:
        ValueError: if a setting is of the wrong kind or out of range, naming it.
    """

    num_heads: int = setting(1, above=0)
    num_sequence_blocks: int = setting(1, above=0)
    num_neighbors: int = setting(0, at_least=0)
    neighbor_weight: float = setting(1.0, above=0)
    item_buckets: int = setting(0, at_least=0)
    item_start: str = setting("random", choices=("random", "cooccurrence"))

    def check(self) -> None:
        """Checks that the heads divide the width, and that a start has rows to write into."""
        super().check()
        if self.dim % self.num_heads:
            raise ValueError(
                f"num_heads must divide dim, got num_heads={self.num_heads} and dim={self.dim}; "
                f"choose a divisor of {self.dim}."
            )
        if self.item_buckets and self.item_start == "cooccurrence":
            raise ValueError(
                "item_start=cooccurrence needs a row an item; leave item_buckets at 0 or "
                "item_start at random."
            )
