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
    "scale_embeddings": True,
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
