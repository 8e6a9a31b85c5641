"""A model's scores agree for candidates and catalogue, trimmed or not, in `fit`, on any backend."""

from unittest import mock

import keras
import numpy as np
import pytest

from hmar_keras import HMAR, HMARConfig, TrainingConfig, compile_arguments
from hmar_keras.models.sequential_recommender import LOWEST_SCORE
from pipelines.evaluation.evaluator import PROTOCOLS, SAMPLED, Evaluator
from pipelines.evaluation.scoring import CandidateScorer, model_scorer, trimmed_length
from pipelines.protocol.questions import history_features
from pipelines.protocol.splits import split
from pipelines.training.host_batches import TrainingData


def model_of(log, **changes):
    config = HMARConfig(log.num_items, log.behaviors, dim=8, max_length=20)
    keras.utils.set_random_seed(0)
    return HMAR(config.replace(**changes))


def plain_scores(model, log, questions):
    """Returns the model's own scores of all items from untrimmed histories; padding is NaN."""
    read = history_features(log, questions, model.config.max_length)
    items = np.arange(1, log.num_items + 1, dtype=np.int32)
    everything = np.broadcast_to(items, (len(questions), 1, log.num_items))
    inputs = {**read, "candidate_ids": everything}
    inputs = {name: keras.ops.convert_to_tensor(ids) for name, ids in inputs.items()}
    scores = keras.ops.convert_to_numpy(model(inputs, training=False)["ranking"])[:, 0]
    return np.pad(scores, ((0, 0), (1, 0)), constant_values=np.nan)


def assert_ranks(found, log, scores):
    """Checks that the ranks match the scores, up to rounding."""
    questions = split(log).test
    evaluator = Evaluator(log, questions, seed=0)
    place = np.zeros(log.num_users, int)
    place[questions.users] = np.arange(len(questions))

    def ranks(advantage):
        moved = scores.copy()
        moved[np.arange(len(questions)), questions.positives] += advantage
        return evaluator.ranks(lambda asked: moved[place[asked.users]], found)

    best, worst = ranks(1e-5), ranks(-1e-5)
    for protocol, result in found.items():
        assert np.all(best[protocol].ranks <= result.ranks), protocol
        assert np.all(result.ranks <= worst[protocol].ranks), protocol
        # The bounds are tight: they agree for nearly all questions.
        assert np.mean(best[protocol].ranks == worst[protocol].ranks) > 0.9


def test_a_model_is_a_candidate_scorer(log):
    model = model_of(log)
    scorer, questions = model_scorer(model, log), split(log).test
    assert isinstance(scorer, CandidateScorer)
    expected = plain_scores(model, log, questions)
    scores = scorer(questions)
    assert scores.shape == expected.shape and scores.dtype == np.float32
    np.testing.assert_allclose(scores[:, 1:], expected[:, 1:], atol=1e-5)
    assert np.all(scores[:, 0] == np.float32(LOWEST_SCORE))
    items = np.random.default_rng(0).integers(1, log.num_items + 1, (len(questions), 9), np.int32)
    chosen = np.take_along_axis(expected, items, axis=1)
    np.testing.assert_allclose(scorer.candidates(questions, items), chosen, atol=1e-5)


@pytest.mark.parametrize("batch", [5, 512])
@pytest.mark.parametrize("protocols", [PROTOCOLS, (SAMPLED,)])
def test_ranks_do_not_depend_on_trimming_and_batches(log, monkeypatch, batch, protocols):
    monkeypatch.setattr("pipelines.evaluation.evaluator._QUESTIONS_AT_ONCE", batch)
    model = model_of(log)
    questions = split(log).test
    evaluator = Evaluator(log, questions, seed=0)
    found = evaluator.ranks(model_scorer(model, log), protocols)
    assert_ranks(found, log, plain_scores(model, log, questions))


def test_batches_are_as_long_as_they_must_be(log, monkeypatch):
    monkeypatch.setattr("pipelines.evaluation.evaluator._QUESTIONS_AT_ONCE", 4)
    scorer, shapes = model_scorer(model_of(log), log), []

    class Recorder:
        def predict_on_batch(self, inputs):
            shapes.append(inputs["item_ids"].shape)
            return np.zeros((len(inputs["item_ids"]), log.num_items + 1), np.float32)

    scorer._scores = Recorder()
    questions = split(log).test
    Evaluator(log, questions, seed=0)(scorer)
    longest = np.sort(questions.ends - questions.starts)
    for end, shape in zip(range(4, len(longest), 4), shapes, strict=False):
        assert shape == (4, min(20, -(-longest[end - 1] // 8) * 8))
    assert len(shapes) == -(-len(longest) // 4)


def test_lengths_are_few_where_each_is_compiled(monkeypatch):
    for max_length in (1, 7, 8, 20, 50, 150, 1000):
        for backend, most in (("tensorflow", -(-max_length // 8)), ("jax", 4)):
            monkeypatch.setattr(
                "pipelines.evaluation.scoring.keras.backend.backend", lambda b=backend: b
            )
            lengths = [trimmed_length(n, max_length) for n in range(1, 2 * max_length + 1)]
            assert all(length >= min(n, max_length) for n, length in enumerate(lengths, start=1))
            assert max(lengths) == max_length
            assert len(set(lengths)) <= most
            assert all(length % 8 == 0 or length == max_length for length in lengths)


class Evaluation(keras.callbacks.Callback):
    """Evaluates after every epoch and checks that the model has not changed."""

    def __init__(self, log, questions):
        super().__init__()
        self.log = log
        self.evaluator = Evaluator(log, questions, seed=0)
        self.scorer = None
        self.scores = []
        self.traced = []  # the epochs in which the scorer was traced

    def on_epoch_end(self, epoch, logs=None):
        self.scorer = self.scorer or model_scorer(self.model, self.log)
        before, score_catalog = self.state(), HMAR.score_catalog

        def traced(*arguments, **named):
            self.traced.append(epoch)
            return score_catalog(*arguments, **named)

        with mock.patch.object(HMAR, "score_catalog", traced):
            self.evaluator(self.scorer)
            self.evaluator(self.scorer, (SAMPLED,))
            self.scores.append(self.scorer(self.evaluator.questions))
        expected = plain_scores(self.model, self.log, self.evaluator.questions)
        np.testing.assert_allclose(self.scores[-1][:, 1:], expected[:, 1:], atol=1e-5)
        after = self.state()
        assert before[0] == after[0]
        for first, second in zip(before[1], after[1], strict=True):
            np.testing.assert_array_equal(first, second)

    def state(self):
        model = self.model
        functions = model.train_function, model.test_function, model.predict_function
        variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
        return (functions, model.stop_training), [numpy_of(variable) for variable in variables]


def numpy_of(variable):
    return np.array(keras.ops.convert_to_numpy(variable))


@pytest.mark.slow
def test_evaluation_in_fit_sees_every_epoch_and_changes_nothing(log):
    """Training gives the same result with and without evaluations after the epochs."""
    splits = split(log)

    def fit(*callbacks):
        model = model_of(log, dropout=0.3)
        model.compile(**compile_arguments(model))
        data = TrainingData(splits, model, TrainingConfig(batch_size=16), seed=0)
        history = model.fit(
            data.dataset(epochs=2),
            epochs=2,
            steps_per_epoch=data.steps_per_epoch,
            callbacks=list(callbacks),
            shuffle=False,
            verbose=0,
        ).history
        return history, [numpy_of(v) for v in [*model.variables, *model.optimizer.variables]]

    evaluation = Evaluation(log, splits.validation)
    (history, state), (history_without, state_without) = fit(evaluation), fit()
    assert history == history_without
    for first, second in zip(state, state_without, strict=True):
        np.testing.assert_array_equal(first, second)
    first, second = evaluation.scores
    assert np.abs(first - second)[:, 1:].max() > 1e-4
    if keras.backend.backend() != "torch":  # it does not trace
        assert set(evaluation.traced) == {0}
