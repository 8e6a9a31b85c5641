import functools

import numpy as np
import pytest
import reference
from histories import every_history
from keras import ops
from layer_checks import randomize, run_layer_test
from reference_model import assert_close, load_behavior_block, make_config, make_weights

from hmar_keras.layers import BehaviorEncoder
from hmar_keras.layers.behavior_encoder import PROJECTIONS

LENGTH, DIM, BEHAVIORS = 6, 4, 3
each_projection = pytest.mark.parametrize("projection", PROJECTIONS)


@functools.cache
def make_encoder(projection):
    layer = BehaviorEncoder(BEHAVIORS, num_heads=2, projection=projection)
    layer.build((None, LENGTH, DIM), (None, LENGTH))
    randomize(layer)
    return layer


def encode(projection, inputs, behavior_ids):
    return ops.convert_to_numpy(make_encoder(projection)(inputs, behavior_ids))


def draw_inputs(seed, rows=1):
    return np.random.default_rng(seed).normal(size=(rows, LENGTH, DIM)).astype("float32")


EVERY = every_history(LENGTH, BEHAVIORS)
INPUTS, OTHERS = draw_inputs(0, len(EVERY)), draw_inputs(1, len(EVERY))


@each_projection
def test_layer(tmp_path, projection):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(2, 5, DIM)).astype("float32")
    ids = np.array([[1, 2, 1, 3, 2], [3, 3, 2, 1, 1]], "int32")
    kwargs = {
        **{"num_behaviors": BEHAVIORS, "num_heads": 2, "dropout": 0.1, "seed": 2},
        **{"projection": projection, "feed_forward_residual": True},
    }
    run_layer_test(BehaviorEncoder, kwargs, (inputs, ids), tmp_path)


@each_projection
@pytest.mark.parametrize("residual", [False, True])
def test_equals_the_sum_of_separate_encoders(projection, residual):
    config = make_config(BEHAVIORS, variant="paper" if projection == "shared" else "release")
    block = make_weights(config)["behavior_blocks"][0]
    layer = BehaviorEncoder(
        BEHAVIORS, num_heads=2, projection=projection, feed_forward_residual=residual
    )
    ids = np.array([[0, 0, 1, 3, 1, 2], [2, 2, 2, 2, 2, 1], [0] * 6], "int32")
    inputs = np.concatenate([draw_inputs(seed) for seed in range(3)])
    layer.build(inputs.shape, ids.shape)
    load_behavior_block(layer, block)
    outputs = ops.convert_to_numpy(layer(inputs, ids))
    for row in range(3):
        expected = sum(
            reference.behavior_encoder(
                inputs[row].astype("float64"), ids[row], ids[row] != 0, b, block, 2, residual
            )
            for b in range(1, BEHAVIORS + 1)
        )
        assert_close(outputs[row], expected)


@each_projection
def test_no_behavior_moves_another_ones_encoder(projection):
    before = encode(projection, INPUTS, EVERY)
    for behavior in range(1, BEHAVIORS + 1):
        of_behavior = behavior == EVERY
        after = encode(projection, np.where(of_behavior[..., None], OTHERS, INPUTS), EVERY)
        np.testing.assert_allclose(after[~of_behavior], before[~of_behavior], atol=1e-6)
        moved = np.abs(after - before).max(axis=-1)
        assert (moved.max(axis=1) > 1e-4)[of_behavior.any(axis=1)].all()


@each_projection
def test_no_position_sees_a_later_one(projection):
    before = encode(projection, INPUTS, EVERY)
    for t in range(LENGTH):
        is_later = np.arange(LENGTH) > t
        after = encode(projection, np.where(is_later[:, None], OTHERS, INPUTS), EVERY)
        np.testing.assert_allclose(after[:, ~is_later], before[:, ~is_later], atol=1e-6)


@each_projection
def test_what_stands_at_padding_does_not_matter(projection):
    edited = np.where((EVERY == 0)[..., None], 1e3 * OTHERS, INPUTS)
    before, after = encode(projection, INPUTS, EVERY), encode(projection, edited, EVERY)
    np.testing.assert_allclose(after, before, atol=1e-6)
    assert (after[EVERY == 0] == 0).all()


def test_unknown_projection_is_an_error():
    with pytest.raises(ValueError, match=r"projection must be one of .* got 'both'"):
        BehaviorEncoder(2, projection="both")


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="num_heads must divide dim"):
        BehaviorEncoder(2, num_heads=3).build((None, LENGTH, DIM), (None, LENGTH))
