"""Every setting of the network has an effect."""

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
    "variant": "release",
    "memory": True,
    "indicators": False,
}


def footprint(config):
    """Returns the shapes of the weights, and the outputs with weights drawn from a fixed seed."""
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


@pytest.mark.slow
@pytest.mark.parametrize("option", OPTIONS)
def test_option_changes_the_model(option):
    changed = make_config(**{option: OPTIONS[option]})
    assert changed != make_config()
    assert not same(footprint(make_config()), footprint(changed))


def test_the_releases_network_differs_in_four_things():
    backbones = [HMAR(make_config(variant=variant)).backbone for variant in ("paper", "release")]
    for backbone, is_release in zip(backbones, (False, True), strict=True):
        behavior, sequence = (
            backbone.get_layer(f"{kind}_encoder_0") for kind in ("behavior", "sequence")
        )
        assert behavior.projection == ("none" if is_release else "shared")
        assert behavior.feed_forward_residual == is_release
        assert sequence.feed_forward_residual == is_release
        assert sequence.layer_norm == is_release
        assert backbone.item_encoder.scale_embeddings == is_release


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
    scores = [to_numpy({"x": model.score_catalog(history)})["x"] for _ in range(2)]
    np.testing.assert_array_equal(scores[0], scores[1])


def test_without_indicators_nothing_that_was_done_before_counts():
    """Without behaviour encoders either, the behaviours of past events have no effect."""
    model = HMAR(make_config(indicators=False, num_behavior_blocks=0))
    randomize(model)
    batch = random_batch(np.random.default_rng(3), make_config())
    other = {**batch, "behavior_ids": np.where(batch["behavior_ids"] > 0, 1, 0).astype("int32")}
    for name, expected in call(model, batch).items():
        np.testing.assert_array_equal(call(model, other)[name], expected)
    history = {name: batch[name] for name in ("item_ids", "behavior_ids")}
    candidates = np.tile(np.arange(1, 8, dtype="int32"), (len(batch["item_ids"]), 1))
    asked = to_numpy({"x": model.score_candidates(history, candidates)})["x"]
    catalog = to_numpy({"x": model.score_catalog(history)})["x"]
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
    """Only items outside the history, as negatives are drawn."""
    plain, shared = (
        HMAR(make_config(num_items=9, shared_negatives=each)) for each in (False, True)
    )
    randomize(plain)
    shared.set_weights(plain.get_weights())
    batch = random_batch(np.random.default_rng(5), make_config())  # contains items 1 to 7
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
