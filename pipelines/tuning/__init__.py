"""Hyper-parameter search with KerasTuner: alpha, beta, theta and the architecture."""

from pipelines.tuning.hypermodel import HMARHyperModel
from pipelines.tuning.space import Choices, Range, SearchSpace

__all__ = ["Choices", "HMARHyperModel", "Range", "SearchSpace"]
