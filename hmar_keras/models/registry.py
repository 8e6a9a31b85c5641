"""The models by the name that `config.model` has for them, and how they are trained."""

from __future__ import annotations

from typing import Any

import keras

from hmar_keras.config import MODELS, OPTIMIZERS, HMARConfig
from hmar_keras.losses import BehaviorLoss, GBCELoss, SampledSoftmaxLoss, WeightedRankingLoss
from hmar_keras.metrics import NDCG, BehaviorAccuracy, HitRate
from hmar_keras.models.hmar import HMAR
from hmar_keras.models.sasrec import SASRec
from hmar_keras.models.sequential_recommender import SequentialRecommender
from hmar_keras.presets import PRESETS
from hmar_keras.schema import BEHAVIOR, RANKING

_BUILT_IN = {"hmar": HMAR, "sasrec": SASRec}
MODELS.update(_BUILT_IN)


def register_model(name):
    """Registers a model of your own under a name that a configuration can ask for: a decorator.

    It can be saved and loaded, too. A second model of the same name takes the first one's place,
    as where a notebook's cell runs again.

    Args:
        name: what `HMARConfig.model` calls it.

    Returns:
        a decorator of a `SequentialRecommender`, which gives the class back.

    Raises:
        ValueError: if the name is empty or is that of a model or preset of this package, or the
            class is no `SequentialRecommender`.

    Example:

    >>> @register_model("my_sasrec")
    ... class MySASRec(SASRec):
    ...     pass
    >>> from hmar_keras import Behaviors, HMARConfig
    >>> config = HMARConfig(9, Behaviors(("view", "buy"), "buy"), model="my_sasrec", dim=8)
    >>> type(build_model(config)).__name__
    'MySASRec'
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"a model's name must be a non-empty string, got {name!r}.")
    if name in _BUILT_IN or name in PRESETS:
        raise ValueError(f"the name {name!r} is taken by hmar_keras; choose another.")

    def register(cls):
        if not (isinstance(cls, type) and issubclass(cls, SequentialRecommender)):
            raise ValueError(f"the model {name!r} must be a SequentialRecommender, got {cls!r}.")
        MODELS[name] = cls
        return keras.saving.register_keras_serializable(package="own_models", name=name)(cls)

    return register


def build_model(config: HMARConfig, **kwargs: Any) -> SequentialRecommender:
    """The model that the configuration asks for, with initial weights.

    Args:
        config: an `HMARConfig`.
        **kwargs: as in `keras.Model`, `dtype` among them.
    """
    return MODELS[config.model](config, **kwargs)


def outputs_of(config: HMARConfig) -> tuple[str, ...]:
    """The names of the outputs of the model that the configuration asks for."""
    model: type[SequentialRecommender] = MODELS[config.model]
    return model.outputs_in_order


def compile_arguments(config: HMARConfig) -> dict[str, Any]:
    """What to give a model's `compile`: the optimiser, the losses of Eq. 15, 17 and 18, metrics.

    Example:

    >>> from hmar_keras import Behaviors, HMARConfig
    >>> config = HMARConfig(9, Behaviors(("view", "buy"), "buy"), dim=8)
    >>> model = build_model(config)
    >>> model.compile(**compile_arguments(config))
    """
    arguments: dict[str, Any] = {
        "optimizer": OPTIMIZERS[config.optimizer](config.learning_rate, beta_2=config.adam_beta_2),
        "loss": {RANKING: _ranking_loss(config), BEHAVIOR: BehaviorLoss()},
        "loss_weights": {RANKING: 1.0, BEHAVIOR: config.theta},  # Eq. 18
        "metrics": {RANKING: [HitRate(10), NDCG(10)], BEHAVIOR: [BehaviorAccuracy()]},
    }
    for name in ("loss", "loss_weights", "metrics"):
        arguments[name] = {output: arguments[name][output] for output in outputs_of(config)}
    return arguments


def _ranking_loss(config: HMARConfig) -> keras.losses.Loss:
    if config.loss == "gbce":
        rate, calibration = config.sampling_rate, config.gbce_calibration
        return GBCELoss(config.alpha_by_id, config.beta, rate, calibration)
    if config.loss == "sampled_softmax":
        return SampledSoftmaxLoss(config.alpha_by_id, config.sampling_rate)
    return WeightedRankingLoss(config.alpha_by_id, config.beta)
