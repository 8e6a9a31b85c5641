"""Every setting of the network changes the network."""

import keras
import numpy as np
import pytest
from layer_checks import randomize
from reference_model import call, make_config, random_batch, to_numpy

from hmar_keras import HMAR

OPTIONS = {
    "dim": 8,
    "num_heads": 2,
    "num_behavior_blocks": 2,
    "num_sequence_blocks": 2,
    "max_length": 7,
    "num_items": 8,
    "behavior_projection": "per_behavior",
    "feed_forward_residual": True,
    "layer_norm": True,
    "history_sum": True,
    "num_neighbors": 3,
    "scale_embeddings": True,
    "indicators": False,
}


def footprint(config):
    """Shapes of the weights, and what the model gives when all weights are drawn alike."""
    model = HMAR(config)
    randomize(model)
    batch = random_batch(np.random.default_rng(0), make_config())
    return [weight.shape for weight in model.get_weights()], call(model, batch)


def same(one, other):
    return one[0] == other[0] and all(
        np.array_equal(value, other[1][name]) for name, value in one[1].items()
    )


def test_the_same_settings_give_the_same_model():
    assert same(footprint(make_config()), footprint(make_config()))


@pytest.mark.parametrize("option", OPTIONS)
def test_option_changes_the_model(option):
    changed = make_config().replace(**{option: OPTIONS[option]})
    assert changed != make_config()
    assert not same(footprint(make_config()), footprint(changed))


def test_projections_differ_from_each_other():
    kinds = [
        footprint(make_config(behavior_projection=projection))
        for projection in ("shared", "per_behavior", "none")
    ]
    assert len({str(shapes) for shapes, _ in kinds}) == 3


def test_dropout_acts_in_training_only():
    keras.utils.set_random_seed(0)
    batch = random_batch(np.random.default_rng(1), make_config())

    def outputs(rate, training):
        model = HMAR(make_config(dropout=rate))
        randomize(model)
        return to_numpy(model(batch, training=training))

    for name, expected in outputs(0.0, True).items():
        np.testing.assert_array_equal(outputs(0.5, False)[name], expected)
        assert np.abs(outputs(0.5, True)[name] - expected).max() > 1e-3


@pytest.mark.parametrize(
    "place", ["input_dropout", "behavior_encoder_0", "behavior_encoder_1", "sequence_encoder_0"]
)
def test_dropout_acts_in_every_place(place):
    model = HMAR(make_config(dropout=0.5, num_behavior_blocks=2))
    randomize(model)
    for layer in model.backbone.layers:
        dropout = layer if layer.name == "input_dropout" else getattr(layer, "feed_forward", None)
        if dropout is not None and layer.name != place:
            getattr(dropout, "drop", dropout).rate = 0.0
    batch = random_batch(np.random.default_rng(1), make_config())
    quiet, noisy = (to_numpy(model(batch, training=training)) for training in (False, True))
    assert np.abs(noisy["ranking"] - quiet["ranking"]).max() > 1e-3


def test_score_catalog_ignores_dropout():
    model = HMAR(make_config(dropout=0.5))
    batch = random_batch(np.random.default_rng(1), make_config())
    history = {name: batch[name] for name in ("item_ids", "behavior_ids")}
    scores = [to_numpy({"x": model.score_catalog(**history)})["x"] for _ in range(2)]
    np.testing.assert_array_equal(scores[0], scores[1])


def test_without_indicators_nothing_that_was_done_before_counts():
    """Other behaviours of old events change the encoders' states, but no item's own score."""
    model = HMAR(make_config(indicators=False, num_behavior_blocks=0))
    randomize(model)
    batch = random_batch(np.random.default_rng(3), make_config())
    other = {**batch, "behavior_ids": np.where(batch["behavior_ids"] > 0, 1, 0).astype("int32")}
    for name, expected in call(model, batch).items():
        np.testing.assert_array_equal(call(model, other)[name], expected)
    history = {name: batch[name] for name in ("item_ids", "behavior_ids")}
    candidates = np.tile(np.arange(1, 8, dtype="int32"), (len(batch["item_ids"]), 1))
    asked = to_numpy({"x": model.score_candidates(**history, candidate_ids=candidates)})["x"]
    catalog = to_numpy({"x": model.score_catalog(**history)})["x"]
    np.testing.assert_allclose(asked, catalog[:, 1:], rtol=1e-5, atol=1e-5)


def test_without_behaviour_encoders_the_items_go_to_the_sequence_encoder():
    model = HMAR(make_config(num_behavior_blocks=0))
    names = [layer.name for layer in model.backbone.layers]
    assert not any(name.startswith("behavior_encoder") for name in names)
    encoder = model.backbone.get_layer("sequence_encoder_0")
    randomize(model)
    batch = random_batch(np.random.default_rng(4), make_config())
    ids, behaviors = batch["item_ids"], batch["behavior_ids"]
    encoded = model.backbone.item_encoder(ids, model.backbone.indicators(ids, behaviors))
    encoded = model.backbone.get_layer("position_embedding")(encoded)
    expected = to_numpy({"x": encoder(encoded, encoded, ids)})["x"]
    states = model.backbone({"item_ids": ids, "behavior_ids": behaviors})
    np.testing.assert_allclose(to_numpy({"x": states})["x"], expected, rtol=1e-5, atol=1e-6)


def test_shared_negatives_are_scored_as_candidates_are():
    """Items that are not in the history, as they are drawn."""
    plain, shared = (
        HMAR(make_config(num_items=9, shared_negatives=each)) for each in (False, True)
    )
    randomize(plain)
    shared.set_weights(plain.get_weights())
    batch = random_batch(np.random.default_rng(5), make_config())  # of items 1 to 7
    rows, steps, _ = batch["candidate_ids"].shape
    negatives = np.array([[8, 9]] * rows, "int32")
    at_every_step = np.broadcast_to(negatives[:, None], (rows, steps, 2))
    expected = call(
        plain,
        {**batch, "candidate_ids": np.concatenate([batch["candidate_ids"], at_every_step], -1)},
    )
    actual = to_numpy(shared({**batch, "negative_ids": negatives}))
    for name in ("ranking", "behavior"):
        np.testing.assert_allclose(actual[name], expected[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [False, True])
def test_with_a_history_sum_a_new_model_scores_by_the_products_of_the_items(scale):
    config = make_config(history_sum=True, indicators=False, scale_embeddings=scale)
    model = HMAR(config)
    batch = random_batch(np.random.default_rng(6), config)
    ids = batch["item_ids"]
    table = to_numpy({"x": model.item_table.embeddings})["x"] * (config.dim**0.5 if scale else 1)
    table[0] = 0
    events = np.maximum((ids > 0).sum(axis=1, keepdims=True), 1)
    expected = table[ids].sum(axis=1) @ table[1:].T / np.sqrt(events)
    scores = to_numpy({"x": model.score_catalog(ids, batch["behavior_ids"])})["x"]
    np.testing.assert_allclose(scores[:, 1:], expected, rtol=1e-4, atol=1e-6)
