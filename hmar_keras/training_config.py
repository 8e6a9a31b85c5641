"""Training settings, which are the same for all models."""

from __future__ import annotations

import dataclasses

import keras

from hmar_keras.optimizers import Adam, LazyAdam
from hmar_keras.presets import preset_parts
from hmar_keras.settings import Settings, setting

OPTIMIZERS = {"lazy_adam": LazyAdam, "adam": Adam}


@dataclasses.dataclass(frozen=True)
class TrainingConfig(Settings):
    """How a model is trained.

    Args:
        optimizer: `"lazy_adam"` updates only the rows of the item table that a batch touches,
            `"adam"` updates all rows, with momentum. See `hmar_keras.optimizers`.
        learning_rate: learning rate of Adam.
        learning_rate_schedule: `"constant"`, or `"cosine"`, which falls from epoch to epoch along
            half a cosine and reaches 0 after `epochs`.
        adam_beta_2: second-moment decay of Adam.
        batching: `"by_length"` puts windows of similar length together and pads only as far as they
            need; `"mixed"` draws batches from all windows and pads them to `max_length`.
        batch_size: windows per training step; with `"by_length"`, on average.
        epochs: maximum number of passes over the training windows.
        patience: stop after this many epochs without a better validation score.

    Raises:
        ValueError: if a setting has the wrong type or is out of range; the message names it and
            the valid values.

    Example:

    >>> TrainingConfig(epochs=3).replace(batch_size=32).epochs
    3
    """

    optimizer: str = setting("lazy_adam", choices=OPTIMIZERS)
    learning_rate: float = setting(1e-3, above=0)
    learning_rate_schedule: str = setting("constant", choices=("constant", "cosine"))
    adam_beta_2: float = setting(0.98, above=0, below=1)
    batching: str = setting("by_length", choices=("by_length", "mixed"))
    batch_size: int = setting(128, above=0)
    epochs: int = setting(200, above=0)
    patience: int = setting(10, above=0)

    @classmethod
    def preset(cls, name: str) -> TrainingConfig:
        """Returns the training settings of a preset: the paper's or another model's.

        Args:
            name: a name in `hmar_keras.PRESETS`.

        Raises:
            ValueError: if there is no such preset.
        """
        settings = preset_parts(name)
        return cls(**{name: value for name, value in settings.items() if name in cls.names()})

    def make_optimizer(self) -> keras.optimizers.Optimizer:
        """Creates the optimiser, with the initial learning rate."""
        return OPTIMIZERS[self.optimizer](self.learning_rate, beta_2=self.adam_beta_2)
