"""Training: gradients, losses and metrics per head, repeatability, saving, mixed precision."""

import json

import keras
import numpy as np
import pytest
import reference
from keras import ops
from layer_checks import MIXED_POLICIES, gradients, randomize
from reference_model import (
    assert_close,
    call,
    call_reference,
    load_reference_weights,
    make_config,
    make_pair,
    make_weights,
    random_batch,
    random_targets,
    to_numpy,
)

from hmar_keras import HMAR, TrainingConfig, compile_arguments


def losses_of(model):
    arguments = compile_arguments(model)
    return {name: arguments[name] for name in ("loss", "loss_weights")}


def heads(truth):
    return {"ranking": truth, "behavior": truth}


def reference_loss(w, config, batch, truth):
    outputs = call_reference(w, config, batch)
    ranking = reference.ranking_loss(outputs["ranking"], truth, config.alpha_by_id, config.beta)
    return ranking + config.theta * reference.behavior_loss(outputs["behavior"], truth)


def moved(w, direction, step):
    """Returns nested weights moved along a direction with the same nesting."""
    if isinstance(w, dict):
        return {name: moved(value, direction[name], step) for name, value in w.items()}
    if isinstance(w, list):
        return [moved(*pair, step) for pair in zip(w, direction, strict=True)]
    return None if w is None else w + step * direction


@pytest.mark.parametrize("variant", ["paper", pytest.param("release", marks=pytest.mark.slow)])
def test_gradient_equals_the_slope_of_the_references_loss(variant):
    config = make_config(
        3,
        **{"variant": variant, "num_behavior_blocks": 2, "num_sequence_blocks": 2, "theta": 0.5},
    )
    rng = np.random.default_rng(0)
    batch = random_batch(rng, config, steps=4)
    truth = random_targets(rng, config, batch)
    model, w = make_pair(config)
    loss, slopes = gradients(model, batch, heads(truth), **losses_of(model))
    assert loss == pytest.approx(reference_loss(w, config, batch, truth), rel=1e-5)
    direction_model = HMAR(config)
    for seed in range(1, 4):
        direction = make_weights(config, seed)
        load_reference_weights(direction_model, direction)
        along = sum(
            np.sum(slope * ops.convert_to_numpy(part))
            for slope, part in zip(
                slopes.values(), direction_model.trainable_variables, strict=True
            )
        )
        up, down = (
            reference_loss(moved(w, direction, step), config, batch, truth)
            for step in (1e-6, -1e-6)
        )
        assert along == pytest.approx((up - down) / 2e-6, rel=1e-3, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["paper", "release"])
def test_a_behavior_that_never_occurs_learns_nothing(variant):
    config = make_config(3, variant=variant)
    model, _ = make_pair(config)
    batch = random_batch(np.random.default_rng(0), config)
    absent = 2
    for name in ("item_ids", "behavior_ids"):
        batch[name] = np.where(batch["behavior_ids"] == absent, 0, batch[name])
    # The remaining events must be left-padded again.
    for row in range(len(batch["item_ids"])):
        order = np.argsort(batch["behavior_ids"][row] != 0, kind="stable")
        for name in ("item_ids", "behavior_ids"):
            batch[name][row] = batch[name][row][order]
    truth = np.where(batch["item_ids"] != 0, 1, 0)
    loss, slopes = gradients(model, batch, heads(truth), **losses_of(model))
    assert np.isfinite(loss)
    stacked = 0
    for path, slope in slopes.items():
        assert np.isfinite(slope).all(), path
        if "behavior_encoder" in path and len(slope) == 3:
            stacked += 1
            np.testing.assert_array_equal(slope[absent - 1], 0, err_msg=path)
            assert (slope[0] != 0).any(), path
    assert stacked >= 6


@pytest.mark.slow
def test_rows_of_padding_add_nothing_to_the_gradient():
    config = make_config(3)
    model, _ = make_pair(config)
    rng = np.random.default_rng(1)
    batch = random_batch(rng, config)
    truth = random_targets(rng, config, batch)
    assert (truth[1] == 0).all()
    others = [0, 2, 3, 4]
    loss, slopes = gradients(model, batch, heads(truth), **losses_of(model))
    without = {name: ids[others] for name, ids in batch.items()}
    expected, slopes_without = gradients(model, without, heads(truth[others]), **losses_of(model))
    assert loss == pytest.approx(expected, rel=1e-5)
    for path, slope in slopes.items():
        assert_close(slope, slopes_without[path])


@pytest.mark.slow
def test_a_batch_of_padding_trains_nothing():
    config = make_config(3, num_behavior_blocks=2, num_sequence_blocks=2, variant="release")
    model, _ = make_pair(config)
    batch = random_batch(np.random.default_rng(2), config)
    batch = {name: np.zeros_like(ids) for name, ids in batch.items()}
    truth = np.zeros(batch["item_ids"].shape, "int32")
    loss, slopes = gradients(model, batch, heads(truth), **losses_of(model))
    assert loss == 0
    for path, slope in slopes.items():
        np.testing.assert_array_equal(slope, 0, err_msg=path)


def test_losses_and_metrics_belong_to_their_heads():
    config = make_config(5, num_items=30, theta=0.3, alpha={"view": 0.4}, beta=0.8)
    model, _ = make_pair(config)
    rng = np.random.default_rng(9)
    batch = random_batch(rng, config, batch=8, candidates=14)
    truth = random_targets(rng, config, batch)
    model.compile(**compile_arguments(model))
    logs = model.evaluate(batch, heads(truth), batch_size=8, return_dict=True, verbose=0)
    outputs = model.predict(batch, batch_size=8, verbose=0)
    events = list(zip(*truth.nonzero(), strict=True))
    ranks = np.array([reference.positive_rank(outputs["ranking"][event]) for event in events])
    guesses = np.array([outputs["behavior"][event].argmax() + 1 for event in events])
    alpha = [0.4, 0.1, 0.1, 0.1, 0.7]
    expected = {
        "ranking_loss": reference.ranking_loss(outputs["ranking"], truth, alpha, 0.8),
        "behavior_loss": reference.behavior_loss(outputs["behavior"], truth),
        "ranking_hr@10": np.mean(ranks < 10),
        "ranking_ndcg@10": np.mean(np.where(ranks < 10, 1 / np.log2(ranks + 2), 0)),
        "behavior_accuracy": np.mean(guesses == truth[truth != 0]),
    }
    assert len({round(value, 3) for value in expected.values()}) == len(expected)
    assert 0 < expected["ranking_hr@10"] < 1
    expected["loss"] = expected["ranking_loss"] + 0.3 * expected["behavior_loss"]
    assert logs == pytest.approx(expected, rel=1e-4)


def test_compile_arguments_hold_the_settings_of_the_optimizer():
    model = HMAR(make_config(theta=0.25))
    arguments = compile_arguments(model, TrainingConfig(learning_rate=3e-4, adam_beta_2=0.9))
    optimizer = arguments["optimizer"]
    assert isinstance(optimizer, keras.optimizers.Adam)
    assert float(ops.convert_to_numpy(optimizer.learning_rate)) == pytest.approx(3e-4)
    assert optimizer.beta_2 == 0.9
    assert arguments["loss_weights"] == {"ranking": 1.0, "behavior": 0.25}


def fit(config, seed, epochs=2, learning_rate=1e-3):
    keras.utils.set_random_seed(seed)
    model = HMAR(config)
    model.compile(**compile_arguments(model, TrainingConfig(learning_rate=learning_rate)))
    rng = np.random.default_rng(4)
    batch = random_batch(rng, config, batch=8)
    truth = heads(random_targets(rng, config, batch))
    history = model.fit(batch, truth, batch_size=4, epochs=epochs, verbose=0)
    return model, history.history


@pytest.mark.slow
def test_training_is_repeatable_bit_for_bit():
    config = make_config(3, dropout=0.3)
    (one, log), (two, other_log) = (fit(config, seed=7, learning_rate=0.01) for _ in range(2))
    assert log == other_log
    for first, second in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_fit_moves_every_weight_and_learns():
    config = make_config(3, variant="release")
    keras.utils.set_random_seed(0)
    start = {variable.path: ops.convert_to_numpy(variable) for variable in HMAR(config).weights}
    keras.utils.set_random_seed(0)
    model, history = fit(config, seed=0, epochs=20, learning_rate=0.02)
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    for variable, old in zip(model.weights, start.values(), strict=True):
        new = ops.convert_to_numpy(variable)
        assert np.isfinite(new).all(), variable.path
        assert (new != old).any(), variable.path


@pytest.mark.slow
def test_saved_models_and_weights_give_the_same_outputs(tmp_path):
    config = make_config(
        3,
        **{"num_behavior_blocks": 2, "num_sequence_blocks": 2, "variant": "release"},
    )
    model, _ = fit(config, seed=1, epochs=1)
    randomize(model)
    batch = random_batch(np.random.default_rng(5), config)
    expected = call(model, batch)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    refilled = HMAR(config)
    refilled.load_weights(tmp_path / "model.weights.h5")
    for other in (loaded, refilled):
        assert type(other) is HMAR
        assert other.config == config
        for name, value in call(other, batch).items():
            np.testing.assert_array_equal(value, expected[name])
    # Compilation is restored: the optimiser's state, the losses, their weights and the metrics.
    truth = heads(random_targets(np.random.default_rng(6), config, batch))
    assert int(ops.convert_to_numpy(loaded.optimizer.iterations)) == 2
    logs, expected_logs = (
        each.evaluate(batch, truth, batch_size=5, return_dict=True, verbose=0)
        for each in (loaded, model)
    )
    assert logs == pytest.approx(expected_logs, rel=1e-6)


def test_config_round_trip_through_json():
    model = HMAR(make_config(2, num_sequence_blocks=2), name="mine")
    for part in (model, model.backbone):
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(part)))
        revived = keras.saving.deserialize_keras_object(config)
        assert type(revived) is type(part)
        assert revived.get_config() == part.get_config()
        shapes = [[weight.shape for weight in each.weights] for each in (revived, part)]
        assert shapes[0] == shapes[1]


@pytest.mark.slow
@pytest.mark.parametrize("policy", MIXED_POLICIES)
def test_mixed_precision(policy):
    settings = {"dim": 8, "num_behavior_blocks": 2, "num_sequence_blocks": 2}
    config = make_config(3, variant="release", **settings)
    plain, _ = make_pair(config)
    # With the reference's large weights, rounding errors can change what attention focuses on.
    plain.set_weights([weight / 2 for weight in plain.get_weights()])
    batch = random_batch(np.random.default_rng(7), config)
    expected = to_numpy(plain(batch, training=False))
    catalog = ops.convert_to_numpy(plain.score_catalog(batch))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        by_policy = HMAR(config)
        if (keras.backend.backend(), policy) != ("jax", "mixed_float16"):
            # JAX cannot compile float16 attention on CPUs.
            trained, history = fit(config, seed=0)
            assert np.isfinite(history["loss"]).all()
            assert all(np.isfinite(weight).all() for weight in trained.get_weights())
    finally:
        keras.config.set_dtype_policy(before)
    for model in (by_policy, HMAR(config, dtype=policy)):
        model.set_weights(plain.get_weights())
        states = model.backbone({name: batch[name] for name in ("item_ids", "behavior_ids")})
        assert keras.backend.standardize_dtype(states.dtype) == policy.removeprefix("mixed_")
        for name, value in to_numpy(model(batch, training=False)).items():
            assert value.dtype == "float32"
            assert_close(value, expected[name], 0.05)
        scores = model.score_catalog(batch)
        scores = ops.convert_to_numpy(scores)
        assert scores.dtype == "float32"
        assert_close(scores[:, 1:], catalog[:, 1:], 0.05)


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs TensorFlow's graphs")
def test_graphs_of_open_shape_equal_eager_calls():
    import tensorflow as tf

    config = make_config(3, num_behavior_blocks=2, num_sequence_blocks=2)
    model, _ = make_pair(config)
    ids = tf.TensorSpec([None, None], "int32")
    signature = [ids, ids, tf.TensorSpec([None, None, None], "int32")]

    def score(*inputs):
        names = ("item_ids", "behavior_ids", "candidate_ids")
        return model(dict(zip(names, inputs, strict=True)), training=False)

    graph = tf.function(score, input_signature=signature)
    read = {"item_ids": ids, "behavior_ids": ids}
    catalog = tf.function(model.score_catalog, input_signature=[read])
    logits = tf.function(model.behavior_logits, input_signature=[read, ids])
    rng = np.random.default_rng(8)
    for shape in ({"batch": 3}, {"batch": 1, "length": 2, "steps": 1}):
        batch = random_batch(rng, config, **shape)
        expected = model(batch, training=False)
        for name, value in graph(*batch.values()).items():
            assert_close(value, expected[name], 1e-6)
        history = {name: batch[name] for name in read}
        candidates = batch["candidate_ids"][:, 0]
        expected = model.behavior_logits(history, candidates)
        assert_close(logits(history, candidates), expected, 1e-6)
        scores, expected = catalog(history), model.score_catalog(history)
        assert_close(scores[:, 1:], expected[:, 1:], 1e-6)
