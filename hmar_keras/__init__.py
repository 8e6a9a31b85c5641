"""HMAR for Keras 3: layers, losses, metrics and models for multi-behaviour recommendation.

This package imports only `keras` and `numpy`, so it runs on every Keras backend.
"""

from hmar_keras.config import HMARConfig
from hmar_keras.losses import BehaviorLoss, GBCELoss, SampledSoftmaxLoss, WeightedRankingLoss
from hmar_keras.metrics import NDCG, BehaviorAccuracy, HitRate
from hmar_keras.models import (
    HMAR,
    HMARBackbone,
    SASRec,
    SequentialRecommender,
    build_model,
    compile_arguments,
    register_model,
)
from hmar_keras.presets import PRESETS
from hmar_keras.schema import Behaviors
from hmar_keras.version import __version__

__all__ = [
    "HMAR",
    "NDCG",
    "PRESETS",
    "BehaviorAccuracy",
    "BehaviorLoss",
    "Behaviors",
    "GBCELoss",
    "HMARBackbone",
    "HMARConfig",
    "HitRate",
    "SASRec",
    "SampledSoftmaxLoss",
    "SequentialRecommender",
    "WeightedRankingLoss",
    "__version__",
    "build_model",
    "compile_arguments",
    "register_model",
]
