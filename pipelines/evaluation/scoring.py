"""Scorers, which an evaluation asks, and a model as a scorer, on every Keras backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import keras
import numpy as np

from hmar_keras.models import SequentialRecommender
from hmar_keras.schema import CANDIDATE_IDS
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.protocol.questions import history_features
from pipelines.protocol.splits import EvaluationSet, visible_events

_LENGTH_STEP = 8  # histories are trimmed to multiples of it
_MOST_LENGTHS_ON_JAX = 4  # JAX compiles each length separately, which takes seconds

# Takes questions, returns float32 [questions, num_items + 1] by item id; column 0 is ignored.
Scorer = Callable[[EvaluationSet], np.ndarray]


@runtime_checkable
class CandidateScorer(Protocol):
    """A `Scorer` that scores a few items of each question without the rest of the catalogue."""

    def __call__(self, questions: EvaluationSet) -> np.ndarray:
        """Returns scores, float32 [questions, num_items + 1]."""

    def candidates(self, questions: EvaluationSet, item_ids: np.ndarray) -> np.ndarray:
        """Scores `item_ids`, int32 [questions, candidates]; returns float32 of the same shape."""


class ModelScorer:
    """A model as a `CandidateScorer`, with its current weights at every call.

    The scoring functions are compiled once and are separate from the model's own, so a model can be
    evaluated in the middle of its `fit`.

    Args:
        model: the model.
        dataset: the dataset of the questions.
    """

    def __init__(self, model: SequentialRecommender, dataset: InteractionDataset):
        self._scores = _Scores(model)
        self._events = visible_events(dataset, model.config.input_behaviors)
        self._max_length = model.config.max_length
        self._features = model.features

    def __call__(self, questions: EvaluationSet) -> np.ndarray:
        """Returns scores, float32 [questions, num_items + 1]."""
        return self._scores.predict_on_batch(self._histories(questions))

    def candidates(self, questions: EvaluationSet, item_ids: np.ndarray) -> np.ndarray:
        """Scores `item_ids`, int32 [questions, candidates]; returns float32 of the same shape."""
        histories = self._histories(questions)
        return self._scores.predict_on_batch({**histories, CANDIDATE_IDS: item_ids})

    def _histories(self, questions):
        """Returns what the model reads, without most of the columns that are all padding."""
        questions = self._events.questions(questions)
        longest = int((questions.ends - questions.starts).max(initial=1))
        length = trimmed_length(longest, self._max_length)
        return history_features(self._events.dataset, questions, length, self._features)


def model_scorer(model: SequentialRecommender, dataset: InteractionDataset) -> ModelScorer:
    """Returns a `Scorer` for a model."""
    return ModelScorer(model, dataset)


def trimmed_length(longest: int, max_length: int) -> int:
    """Returns the number of columns of a batch whose longest history has `longest` events."""
    step = _LENGTH_STEP
    if keras.backend.backend() == "jax":
        step *= -(-max_length // (_LENGTH_STEP * _MOST_LENGTHS_ON_JAX))
    return min(-(-longest // step) * step, max_length)


class _Scores(keras.Model):
    """A wrapper of a model that is in use, with its own compiled `predict_on_batch`.

    Inputs, a dict: what the model reads and, to score only some items, `candidate_ids`,
    int `[batch, candidates]`. Output: float32 `[batch, num_items + 1]` or `[batch, candidates]`.
    """

    def __init__(self, model):
        super().__init__(name="scores")
        self.model = model
        self.built = True  # there is nothing else to build

    def call(self, inputs):
        """Scores the candidates, or the catalogue."""
        if CANDIDATE_IDS in inputs:
            return self.model.score_candidates(inputs, inputs[CANDIDATE_IDS])
        return self.model.score_catalog(inputs)
