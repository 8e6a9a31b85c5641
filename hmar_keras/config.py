"""Every setting of HMAR in one place."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping

from hmar_keras.earlier_settings import translate
from hmar_keras.optimizers import Adam, LazyAdam
from hmar_keras.presets import PRESETS
from hmar_keras.schema import Behaviors

OPTIMIZERS = {"lazy_adam": LazyAdam, "adam": Adam}
# Classes by name. `models.registry` fills it, because models import this module.
MODELS: dict[str, type] = {}
_CHOICES = {
    "model": MODELS,
    "events": ("all", "target"),
    "holdout": ("target", "last"),
    "variant": ("paper", "release"),
    "loss": ("bce", "gbce", "sampled_softmax"),
    "windows": ("last", "all"),
    "targets": ("all", "new_items"),
    "order": ("time", "random"),
    "batching": ("by_length", "mixed"),
    "item_start": ("random", "cooccurrence"),
    "optimizer": tuple(OPTIMIZERS),
    "learning_rate_schedule": ("constant", "cosine"),
}
_TARGET_ALPHA, _OTHER_ALPHA = 0.7, 0.1


@dataclasses.dataclass(frozen=True)
class HMARConfig:
    """Settings of a model, its losses and its training.

    All models read the same settings; each says in its own docstring which mean nothing to it.

    Args:
        num_items: size of the catalogue I; item ids run from 1 to I.
        behaviors: names from weak to strong, and the target; also accepted as a dict with the
            keys `names` and `target`.
        model: `"hmar"` or `"sasrec"`, see `hmar_keras.models`; or the name of your own, see
            `hmar_keras.register_model`.
        events: what the model sees: `"all"` events or those of the `"target"` behaviour alone.
        holdout: what is held out of each user: the last event of the `"target"` behaviour, or the
            `"last"` event, whatever its behaviour; and the one before it for validation. An
            official held-out list, where a dataset has one, is the test.
        dim: width d of every embedding and layer.
        max_length: the most recent events of a user that the model sees.
        num_heads: attention heads H of both encoders; must divide `dim`.
        num_behavior_blocks: behaviour encoders (Eq. 5 to 10) on top of each other; 0 for none.
        num_sequence_blocks: sequence encoders (Eq. 11 to 13) on top of each other.
        dropout: dropout rate, in [0, 1).
        indicators: count historical behaviour indicators; False leaves them 0.
        variant: HMAR's network as the `"paper"` has it, or as the authors' `"release"` does: item
            embeddings times sqrt(d), no dense layer in Eq. 5, each feed-forward network's input
            added to its output, and a layer normalisation before that of the sequence encoder.
        num_neighbors: add to a candidate's score how alike it is to the items of the history, by
            the users they share, for this many most alike items of each, see
            `hmar_keras.layers.ItemNeighbors`. 0 for none. `hmar train` counts them; a script
            calls `pipelines.training.item_initialization.start_items`.
        neighbor_weight: how much it counts at first: 1 for what would predict the log best alone;
            more leaves less to be learned beside it.
        item_buckets: for catalogues too large for a row an item: hash each item to two of twice
            this many rows, see `hmar_keras.layers.HashedItemTable`. 0 keeps a row an item.
        item_start: where the item embeddings begin: `"random"`, or `"cooccurrence"`, at the leading
            singular vectors of who touched what in training, which saves most of the epochs where
            items are seldom; not with `item_buckets`.
        loss: of the ranking: `"bce"`, Eq. 15; `"gbce"`, its form for few negatives out of many
            items (`hmar_keras.losses.GBCELoss`); or `"sampled_softmax"`.
        gbce_calibration: t of gBCE, in [0, 1].
        alpha: weight of each behaviour's positives in Eq. 15, by behaviour name. Behaviours left
            out get the paper's usual 0.7 (target) or 0.1 (every other).
        beta: weight of the negatives in Eq. 15 and gBCE; a softmax has none.
        theta: weight of the behaviour classification in Eq. 18.
        num_negatives: negatives a position in training.
        shared_negatives: draw them once a window, for all its positions: hundreds then cost
            little.
        targets: what is learned to be ranked: `"all"` next items, or `"new_items"` alone, which
            the user has not touched before, where only such are asked for; what the user has
            touched is then a negative.
        windows: `"last"` trains on each user's most recent `max_length` events, as the paper
            does; `"all"` cuts the whole history into windows of that length.
        order: of a window's events in training: `"time"`; or `"random"`, the events on an item side
            by side and the items in an order drawn anew in every epoch, for logs whose held-out
            items are not the last ones.
        optimizer: `"lazy_adam"` moves only those rows of the item table that a batch touches,
            `"adam"` all rows, by a momentum. See `hmar_keras.optimizers`.
        learning_rate: of Adam.
        learning_rate_schedule: `"constant"`, or `"cosine"`: from epoch to epoch it falls along half
            a cosine, to reach 0 after `epochs`.
        adam_beta_2: second-moment decay of Adam.
        batching: `"by_length"` puts windows of like length together and pads no further than
            they need; `"mixed"` draws batches from all windows and pads them to `max_length`.
        batch_size: windows a training step; by length, on average.
        epochs: at most this many passes over the training windows.
        patience: stop after this many epochs without a better validation score.

    Raises:
        ValueError: if a setting is of the wrong kind or out of range, naming it and what would
            do.

    Example:

    >>> config = HMARConfig(100, Behaviors(("view", "buy"), target="buy"), dim=32, num_heads=2)
    >>> config.alpha
    {'view': 0.1, 'buy': 0.7}
    >>> HMARConfig.from_json(config.to_json()) == config
    True
    """

    num_items: int
    behaviors: Behaviors
    model: str = "hmar"
    events: str = "all"
    holdout: str = "target"
    dim: int = 64
    max_length: int = 50
    num_heads: int = 1
    num_behavior_blocks: int = 1
    num_sequence_blocks: int = 1
    dropout: float = 0.2
    indicators: bool = True
    variant: str = "paper"
    num_neighbors: int = 0
    neighbor_weight: float = 1.0
    item_buckets: int = 0
    item_start: str = "random"
    loss: str = "bce"
    gbce_calibration: float = 0.75
    alpha: Mapping[str, float] = dataclasses.field(default_factory=dict)
    beta: float = 1.0
    theta: float = 0.1
    num_negatives: int = 1
    shared_negatives: bool = False
    targets: str = "all"
    windows: str = "last"
    order: str = "time"
    optimizer: str = "lazy_adam"
    learning_rate: float = 1e-3
    learning_rate_schedule: str = "constant"
    adam_beta_2: float = 0.98
    batching: str = "by_length"
    batch_size: int = 128
    epochs: int = 200
    patience: int = 10

    def __post_init__(self):
        if isinstance(self.behaviors, Mapping):
            if set(self.behaviors) != {"names", "target"}:
                raise ValueError(
                    f"behaviors must have the keys names and target, got {self.behaviors!r}."
                )
            object.__setattr__(self, "behaviors", Behaviors(**self.behaviors))
        if not isinstance(self.behaviors, Behaviors):
            raise ValueError(f"behaviors must be a Behaviors, got {self.behaviors!r}.")
        self._check_types()
        self._check_ranges()
        object.__setattr__(self, "alpha", self._complete_alpha())

    def _check_types(self):
        for name, default in _DEFAULTS.items():
            value = getattr(self, name)
            if isinstance(default, bool):
                fits = isinstance(value, bool)
            elif isinstance(default, int):
                fits = isinstance(value, int) and not isinstance(value, bool)
            elif isinstance(default, float):
                fits = _is_number(value)
            else:
                fits = isinstance(value, str)
            if not fits:
                kind = {int: "a whole number", float: "a finite number"}.get(type(default))
                kind = kind or ("true or false" if isinstance(default, bool) else "a string")
                raise ValueError(f"{name} must be {kind}, got {value!r}.")
            if isinstance(default, float):
                object.__setattr__(self, name, float(value))
        whole = isinstance(self.num_items, int) and not isinstance(self.num_items, bool)
        if not whole or self.num_items < 1:
            raise ValueError(f"num_items must be a whole number from 1, got {self.num_items!r}.")

    def _check_ranges(self):
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be greater than 0, got {getattr(self, name)}.")
        for name in ("item_buckets", "num_behavior_blocks", "num_neighbors", "beta", "theta"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}.")
        if not 0 <= self.gbce_calibration <= 1:
            raise ValueError(f"gbce_calibration must be in [0, 1], got {self.gbce_calibration}.")
        if not 0 < self.adam_beta_2 < 1:
            raise ValueError(f"adam_beta_2 must be in (0, 1), got {self.adam_beta_2}.")
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
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}."
                )

    def _complete_alpha(self):
        if not isinstance(self.alpha, Mapping):
            raise ValueError(f"alpha must map behaviour names to weights, got {self.alpha!r}.")
        for name, weight in self.alpha.items():
            if name not in self.behaviors.names:
                raise ValueError(
                    f"alpha names the unknown behaviour {name!r}; the behaviours are "
                    f"{', '.join(self.behaviors.names)}."
                )
            if not _is_number(weight) or weight < 0:
                raise ValueError(f"alpha of {name!r} must be a number from 0, got {weight!r}.")
        usual = {
            name: _TARGET_ALPHA if name == self.behaviors.target else _OTHER_ALPHA
            for name in self.behaviors.names
        }
        return {name: float(self.alpha.get(name, usual[name])) for name in usual}

    @property
    def num_behaviors(self) -> int:
        """Number of behaviours K."""
        return len(self.behaviors)

    @property
    def sampling_rate(self) -> float:
        """Negatives a position over items that could be drawn; above 1 items are drawn twice."""
        return self.num_negatives / max(1, self.num_items - 1)

    @property
    def alpha_by_id(self) -> list[float]:
        """The weights of Eq. 15 in the order of the behaviour ids, from id 1."""
        return [self.alpha[name] for name in self.behaviors.names]

    def replace(self, **changes) -> HMARConfig:
        """A copy with some settings changed.

        Raises:
            ValueError: if a setting is unknown or its value is out of range.
        """
        return HMARConfig.from_dict({**self.to_dict(), **changes})

    def to_dict(self) -> dict:
        """All settings as plain numbers, strings, lists and dicts."""
        settings = dataclasses.asdict(self)
        settings["behaviors"]["names"] = list(self.behaviors.names)
        return settings

    @classmethod
    def from_dict(cls, settings: Mapping) -> HMARConfig:
        """The reverse of `to_dict`; also reads settings of earlier versions.

        Raises:
            ValueError: if a setting is unknown, missing or wrong.
        """
        settings = translate(settings)
        known = [field.name for field in dataclasses.fields(cls)]
        for name in settings:
            if name not in known:
                raise ValueError(f"unknown setting {name!r}; the settings are {', '.join(known)}.")
        for name in ("num_items", "behaviors"):
            if name not in settings:
                raise ValueError(f"the setting {name!r} is missing.")
        return cls(**settings)

    def to_json(self) -> str:
        """The settings as JSON text."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> HMARConfig:
        """The reverse of `to_json`.

        Raises:
            ValueError: if the text is not a JSON object or a setting is wrong.
        """
        try:
            settings = json.loads(text)
        except RecursionError as error:
            raise ValueError("a configuration must not be nested that deeply.") from error
        if not isinstance(settings, dict):
            raise ValueError("a configuration must be a JSON object of settings.")
        return cls.from_dict(settings)

    @classmethod
    def preset(cls, name: str, num_items: int, behaviors: Behaviors, **changes) -> HMARConfig:
        """The paper's settings for one of its datasets, or another model's; see `PRESETS`.

        Args:
            name: `"taobao"`, `"tianchi"`, `"yelp"` or `"movielens"`; or another model,
                `"sasrec"` or `"gsasrec"`.
            num_items: as above.
            behaviors: as above. The weights alpha go by role, target or not, so that a preset
                serves any log of its kind; Yelp's, which go by name, where a name occurs.
            **changes: settings that differ from the preset.

        Raises:
            ValueError: if there is no such preset or a setting is wrong.
        """
        if name not in PRESETS:
            raise ValueError(f"unknown preset {name!r}; the presets are {', '.join(PRESETS)}.")
        settings = dict(PRESETS[name])
        by_name = settings.pop("alpha_by_name", {})
        target, other = settings.pop("target_alpha"), settings.pop("other_alpha")
        settings["alpha"] = {
            behavior: by_name.get(behavior, target if behavior == behaviors.target else other)
            for behavior in behaviors.names
        }
        return cls.from_dict(
            {"num_items": num_items, "behaviors": behaviors, **settings, **changes}
        )


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_DEFAULTS = {
    field.name: field.default
    for field in dataclasses.fields(HMARConfig)
    if field.default is not dataclasses.MISSING
}
_POSITIVE = [
    *("dim", "max_length", "num_heads", "num_sequence_blocks"),
    *("num_negatives", "learning_rate", "batch_size", "epochs", "patience", "neighbor_weight"),
]
