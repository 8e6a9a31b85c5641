"""The models by the names that commands use, and the arguments to compile them with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import keras

from hmar_keras.config import ModelConfig, NextItemConfig
from hmar_keras.models.hmar import HMAR
from hmar_keras.models.sasrec import SASRec
from hmar_keras.models.sequential_recommender import MODELS, SequentialRecommender
from hmar_keras.presets import PRESETS
from hmar_keras.schema import FEATURES
from hmar_keras.training_config import TrainingConfig

_Class = TypeVar("_Class", bound=type)
_BUILT_IN = {"hmar": HMAR, "sasrec": SASRec}
MODELS.update(_BUILT_IN)


def register_model(name: str) -> Callable[[_Class], _Class]:
    """Registers a custom model under a name that commands and configurations can use.

    Registered models can also be saved and loaded. A second model of the same name replaces the
    first, for instance when a notebook cell runs again.

    Args:
        name: the name for `--model`.

    Returns:
        a decorator for a subclass of `SequentialRecommender`, which returns the class.

    Raises:
        ValueError: if the name is empty or belongs to a model or preset of this package, or the
            class does not fulfil the contract of `SequentialRecommender`.

    Example:

    >>> @register_model("my_sasrec")
    ... class MySASRec(SASRec):
    ...     pass
    >>> MODELS["my_sasrec"].__name__
    'MySASRec'
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"a model's name must be a non-empty string, got {name!r}.")
    if name in _BUILT_IN or name in PRESETS:
        raise ValueError(f"the name {name!r} is taken by hmar_keras; choose another.")

    def register(cls: _Class) -> _Class:
        _check_contract(name, cls)
        MODELS[name] = cls
        return keras.saving.register_keras_serializable(package="own_models", name=name)(cls)

    return register


def own_models() -> list[str]:
    """Returns the names of the custom models."""
    return [name for name in MODELS if name not in _BUILT_IN]


def _check_contract(name, cls):
    """Checks the settings, objective and features of a class.

    Raises:
        ValueError: if the class is not a model, or its settings or features are not valid.
    """
    if not (isinstance(cls, type) and issubclass(cls, SequentialRecommender)):
        raise ValueError(f"the model {name!r} must be a SequentialRecommender, got {cls!r}.")
    kind = cls.Settings
    if not (isinstance(kind, type) and issubclass(kind, ModelConfig)) or not _is_frozen(kind):
        raise ValueError(
            f"Settings of the model {name!r} must be a frozen dataclass that inherits from "
            f"ModelConfig, got {kind!r}."
        )
    asks_nothing_else = cls.objective is SequentialRecommender.objective
    if asks_nothing_else and not issubclass(kind, NextItemConfig):
        raise ValueError(
            f"the model {name!r} needs an objective() method, or settings that inherit from "
            "NextItemConfig."
        )
    taken = {*TrainingConfig.names(), "model", "holdout"} & set(kind.names())
    if taken:
        raise ValueError(
            f"the model {name!r} has a setting {taken.pop()!r}, which every run has already; "
            "choose another name."
        )
    unknown = [each for each in cls.features if each not in FEATURES]
    if not cls.features:
        raise ValueError(f"the model {name!r} reads nothing; list its inputs in features.")
    if unknown:
        raise ValueError(
            f"the model {name!r} has the unknown feature {unknown[0]!r}; choose from "
            f"{', '.join(FEATURES)}."
        )


def _is_frozen(kind):
    return "__dataclass_fields__" in vars(kind) and kind.__dataclass_params__.frozen


def compile_arguments(model: Any, training: TrainingConfig | None = None) -> dict[str, Any]:
    """Returns arguments for `compile`: the optimiser, and the objective's losses and metrics.

    Args:
        model: a `SequentialRecommender`, or anything with an `objective()`.
        training: training settings, for the optimiser; None for the defaults.

    Example:

    >>> from hmar_keras import Behaviors, HMARConfig
    >>> model = HMAR(HMARConfig(9, Behaviors(("view", "buy"), "buy"), dim=8))
    >>> model.compile(**compile_arguments(model))
    """
    optimizer = (training or TrainingConfig()).make_optimizer()
    return {"optimizer": optimizer, **model.objective().compile_arguments()}
