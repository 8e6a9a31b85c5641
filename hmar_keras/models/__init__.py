"""Models built of the layers."""

from hmar_keras.models.hmar import HMAR, HMARBackbone
from hmar_keras.models.registry import MODELS, build_model, compile_arguments, register_model
from hmar_keras.models.sasrec import SASRec
from hmar_keras.models.sequential_recommender import SequentialRecommender, recommender_inputs

__all__ = [
    "HMAR",
    "MODELS",
    "HMARBackbone",
    "SASRec",
    "SequentialRecommender",
    "build_model",
    "compile_arguments",
    "recommender_inputs",
    "register_model",
]
