"""Parts of a batch give what the whole batch gives, values and gradients."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from hmar_keras.config import HMARConfig
from hmar_keras.layers import Dropout, ItemEmbedding
from hmar_keras.models import SequentialRecommender, build_model, recommender_inputs
from pipelines.evaluation import scoring
from pipelines.protocol.splits import split
from pipelines.runtime.hardware import Hardware
from pipelines.training.fit import compiled_model
from pipelines.training.host_batches import TrainingData
from pipelines.training.row_parts import RowParts

ROWS = 5


def counted(calls):
    """A function of a batch that notes when Python runs it."""

    def function(inputs):
        calls.append(inputs["x"].shape)
        return {"twice": 2 * inputs["x"], "sums": (tf.reduce_sum(inputs["x"], axis=1),)}

    return function


@pytest.mark.parametrize("parts", [1, 2, 3, ROWS, ROWS + 2])
def test_parts_are_put_together_in_order(parts):
    x = np.arange(ROWS * 3.0).reshape(ROWS, 3)
    calls = []
    batch = tf.function(lambda x: RowParts(parts)(counted(calls), {"x": x}))
    found = batch(tf.constant(x))
    np.testing.assert_array_equal(found["twice"], 2 * x)
    np.testing.assert_array_equal(found["sums"][0], x.sum(axis=1))


def test_no_part_waits_for_the_one_before():
    state = tf.Variable(0.0)

    def function(inputs):
        return {"x": inputs["x"] + state.assign_add(1.0)}

    batch = tf.function(lambda x: RowParts(2)(function, {"x": x}), [tf.TensorSpec((None, 3))])
    graph = batch.get_concrete_function().graph
    cuts = [each for each in graph.get_operations() if each.type == "StridedSlice"]
    assert not any(each.control_inputs for each in cuts)
    assert not any("PartitionedCall" in each.type for each in graph.get_operations())


def test_outside_of_a_graph_the_batch_is_whole():
    calls = []
    RowParts(2)(counted(calls), {"x": tf.zeros((ROWS, 3))})
    assert calls == [(ROWS, 3)]


def test_every_part_drops_other_units_and_the_same_ones_again():
    drawn = []
    for _ in range(2):
        dropout = Dropout(0.5, seed=1)

        @tf.function
        def batch(x, dropout=dropout):
            return RowParts(4)(lambda inputs: dropout(inputs["x"], training=True), {"x": x})

        steps = [batch(tf.ones((8, 64))).numpy() for _ in range(20)]
        drawn.append(np.stack(steps).reshape(-1, 2 * 64))  # of every part its two rows
    np.testing.assert_array_equal(*drawn)
    assert len(np.unique(drawn[0], axis=0)) == 20 * 4


@pytest.fixture(params=["hmar", "sasrec"])
def trained_on(request, log):
    """Settings without dropout, whose random numbers differ, and batches; one has a single row."""
    config = HMARConfig(log.num_items, log.behaviors, model=request.param, dim=8, max_length=20)
    config = config.replace(batch_size=16, dropout=0.0, num_negatives=8, shared_negatives=True)
    batches = list(TrainingData(split(log), config, 0).dataset(0, 1))
    single = tf.nest.map_structure(lambda x: x[:1], batches[0])
    return config, [single, *batches]


def gradients_of(config, batches, parts):
    """Of every batch the loss and the gradients of all weights, as `fit` computes them."""
    keras.utils.set_random_seed(0)
    model = compiled_model(config, Hardware(batch_parts=parts).resolved())

    def step(inputs, targets):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(inputs, targets, model(inputs, training=True))
        return loss, tape.gradient(loss, model.trainable_variables)

    step = tf.function(step, reduce_retracing=True)
    return [step(*batch) for batch in batches]


@pytest.mark.parametrize("parts", [2, 4])
def test_training_has_the_losses_and_gradients_of_whole_batches(trained_on, parts):
    whole, cut = (gradients_of(*trained_on, number) for number in (1, parts))
    for (loss, gradients), (loss_of_parts, gradients_of_parts) in zip(whole, cut, strict=True):
        assert float(loss_of_parts) == pytest.approx(float(loss), rel=1e-5)
        for each, of_parts in zip(gradients, gradients_of_parts, strict=True):
            # The table's come as rows, so that a step costs what a batch touches.
            assert isinstance(of_parts, tf.IndexedSlices) == isinstance(each, tf.IndexedSlices)
            each, of_parts = (tf.convert_to_tensor(x).numpy() for x in (each, of_parts))
            np.testing.assert_allclose(of_parts, each, rtol=1e-4, atol=1e-6)
        assert any(isinstance(each, tf.IndexedSlices) for each in gradients)


class Penalised(keras.layers.Layer):
    """Its input, and something to be added to the loss."""

    def call(self, inputs):
        self.add_loss(keras.ops.mean(inputs))
        return inputs


class PenalisedModel(SequentialRecommender):
    """Of an item alone what comes next, with a loss beside that of its scores."""

    def __init__(self, config, **kwargs):
        items, inputs = ItemEmbedding(config.num_items, config.dim), recommender_inputs(config)
        states = Penalised()(items(inputs["item_ids"]))
        scores = items(inputs["candidate_ids"], states, inputs["negative_ids"])
        outputs = {"ranking": keras.layers.Identity(name="ranking")(scores)}
        super().__init__(config, inputs=inputs, outputs=outputs, **kwargs)


def test_a_model_that_adds_losses_is_told_to_keep_its_batches_whole(trained_on):
    config, (_, (inputs, _), *_) = trained_on
    model = PenalisedModel(config)
    targets = {"ranking": np.zeros(model(inputs)["ranking"].shape)}
    for parts, expected in [(1, contextlib.nullcontext()), (2, refused_to_cut())]:
        model.map_rows = RowParts(parts) if parts > 1 else None
        model.compile("sgd", "mse", jit_compile=False)
        with expected:
            model.fit(inputs, targets, verbose=0)


def refused_to_cut():
    return pytest.raises(ValueError, match="set independent_rows = False")


def test_a_model_that_says_so_keeps_its_batches_whole(trained_on, monkeypatch):
    config, _ = trained_on
    hardware = Hardware(batch_parts=2).resolved()
    model = compiled_model(config, hardware)
    assert model.map_rows is not None
    monkeypatch.setattr(type(model), "independent_rows", False)
    assert compiled_model(config, hardware).map_rows is None
    assert not SequentialRecommender.independent_rows  # a model of one's own has to say so


@pytest.mark.parametrize("parts", [2, 3])
def test_scores_are_those_of_whole_batches(trained_on, log, monkeypatch, parts):
    config, _ = trained_on
    keras.utils.set_random_seed(0)
    model = build_model(config)
    questions = split(log).test
    items = np.tile(np.arange(1, 9, dtype=np.int32), (len(questions), 1))
    whole = scoring.model_scorer(model, log)
    monkeypatch.setattr(scoring, "operations_at_once", lambda: parts)
    cut = scoring.model_scorer(model, log)
    np.testing.assert_allclose(cut(questions)[:, 1:], whole(questions)[:, 1:], rtol=1e-5, atol=1e-6)
    found, expected = (scorer.candidates(questions, items) for scorer in (cut, whole))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
