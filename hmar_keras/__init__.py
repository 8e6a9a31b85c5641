"""HMAR for Keras 3: layers, losses, metrics and models for multi-behaviour recommendation.

This package imports only `keras` and `numpy`, so it runs on every Keras backend.
"""

from hmar_keras.config import ModelConfig, NextItemConfig
from hmar_keras.losses import (
    BehaviorLoss,
    EventLoss,
    GBCELoss,
    SampledSoftmaxLoss,
    WeightedRankingLoss,
)
from hmar_keras.metrics import NDCG, BehaviorAccuracy, HitRate
from hmar_keras.models import (
    HMAR,
    HMARBackbone,
    HMARConfig,
    Query,
    SASRec,
    SASRecConfig,
    SequentialRecommender,
    compile_arguments,
    register_model,
)
from hmar_keras.objectives import MaskedItems, NextItem, Objective, Output
from hmar_keras.presets import PRESETS
from hmar_keras.schema import Behaviors
from hmar_keras.settings import setting
from hmar_keras.training_config import TrainingConfig
from hmar_keras.version import __version__

__all__ = [
    "HMAR",
    "NDCG",
    "PRESETS",
    "BehaviorAccuracy",
    "BehaviorLoss",
    "Behaviors",
    "EventLoss",
    "GBCELoss",
    "HMARBackbone",
    "HMARConfig",
    "HitRate",
    "MaskedItems",
    "ModelConfig",
    "NextItem",
    "NextItemConfig",
    "Objective",
    "Output",
    "Query",
    "SASRec",
    "SASRecConfig",
    "SampledSoftmaxLoss",
    "SequentialRecommender",
    "TrainingConfig",
    "WeightedRankingLoss",
    "__version__",
    "compile_arguments",
    "register_model",
    "setting",
]
