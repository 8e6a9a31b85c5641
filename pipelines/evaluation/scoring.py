"""What an evaluation asks for scores, and a model as one of those, on every Keras backend."""

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
_MOST_LENGTHS_ON_JAX = 4  # every one is compiled anew there, for seconds

# Takes questions, gives float32 [questions, num_items + 1] by item id; column 0 is ignored.
Scorer = Callable[[EvaluationSet], np.ndarray]


@runtime_checkable
class CandidateScorer(Protocol):
    """A `Scorer` that scores a few items of each question without the rest of the catalogue."""

    def __call__(self, questions: EvaluationSet) -> np.ndarray:
        """Scores, float32 [questions, num_items + 1]."""

    def candidates(self, questions: EvaluationSet, item_ids: np.ndarray) -> np.ndarray:
        """Scores of `item_ids`, int32 [questions, candidates]: float32 of the same shape."""


class ModelScorer:
    """A model as a `CandidateScorer`, with the weights it has when it is asked.

    The functions that score are compiled once and are not the model's own, so a model may be asked
    in the middle of its `fit`.

    Args:
        model: the model.
        dataset: what the questions are about.
    """

    def __init__(self, model: SequentialRecommender, dataset: InteractionDataset):
        self._scores = _Scores(model)
        self._events = visible_events(dataset, model.config.input_behaviors)
        self._max_length = model.config.max_length
        self._features = model.features

    def __call__(self, questions: EvaluationSet) -> np.ndarray:
        """Scores, float32 [questions, num_items + 1]."""
        return self._scores.predict_on_batch(self._histories(questions))

    def candidates(self, questions: EvaluationSet, item_ids: np.ndarray) -> np.ndarray:
        """Scores of `item_ids`, int32 [questions, candidates]: float32 of the same shape."""
        histories = self._histories(questions)
        return self._scores.predict_on_batch({**histories, CANDIDATE_IDS: item_ids})

    def _histories(self, questions):
        """What the model reads, without most of the columns that are padding for all."""
        questions = self._events.questions(questions)
        longest = int((questions.ends - questions.starts).max(initial=1))
        length = trimmed_length(longest, self._max_length)
        return history_features(self._events.dataset, questions, length, self._features)


def model_scorer(model: SequentialRecommender, dataset: InteractionDataset) -> ModelScorer:
    """A `Scorer` of a model."""
    return ModelScorer(model, dataset)


def trimmed_length(longest: int, max_length: int) -> int:
    """How many columns a batch of histories gets, the longest of which has `longest` events."""
    step = _LENGTH_STEP
    if keras.backend.backend() == "jax":
        step *= -(-max_length // (_LENGTH_STEP * _MOST_LENGTHS_ON_JAX))
    return min(-(-longest // step) * step, max_length)


class _Scores(keras.Model):
    """A model around a live one, for a compiled `predict_on_batch` of its own.

    Inputs, a dict: what the model reads, and where only some items are asked for `candidate_ids`,
    int `[batch, candidates]`. Output: float32 `[batch, num_items + 1]` or `[batch, candidates]`.
    """

    def __init__(self, model):
        super().__init__(name="scores")
        self.model = model
        self.built = True  # all there is to build

    def call(self, inputs):
        """Scores the candidates, or the catalogue."""
        if CANDIDATE_IDS in inputs:
            return self.model.score_candidates(inputs, inputs[CANDIDATE_IDS])
        return self.model.score_catalog(inputs)
