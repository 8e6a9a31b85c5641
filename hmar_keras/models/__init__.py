"""Models built from the layers."""

from hmar_keras.models.hmar import HMAR, HMARBackbone, HMARConfig
from hmar_keras.models.registry import compile_arguments, own_models, register_model
from hmar_keras.models.sasrec import SASRec, SASRecConfig
from hmar_keras.models.sequential_recommender import (
    MODELS,
    Query,
    SequentialRecommender,
    history_inputs,
    recommender_inputs,
)

__all__ = [
    "HMAR",
    "MODELS",
    "HMARBackbone",
    "HMARConfig",
    "Query",
    "SASRec",
    "SASRecConfig",
    "SequentialRecommender",
    "compile_arguments",
    "history_inputs",
    "own_models",
    "recommender_inputs",
    "register_model",
]
