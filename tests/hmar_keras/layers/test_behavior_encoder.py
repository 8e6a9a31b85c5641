import functools

import numpy as np
import pytest
import reference
from histories import histories, property_test
from hypothesis import given
from hypothesis import strategies as st
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


def draw_inputs(seed):
    return np.random.default_rng(seed).normal(size=(1, LENGTH, DIM)).astype("float32")


def ids():
    return histories(LENGTH, 1, BEHAVIORS).map(lambda history: history[1])


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
@property_test
@given(ids=ids(), behavior=st.integers(1, BEHAVIORS), seed=st.integers(0, 99))
def test_no_behavior_moves_another_ones_encoder(projection, ids, behavior, seed):
    inputs, edited = draw_inputs(seed), draw_inputs(seed + 100)
    of_behavior = ids == behavior
    edited = np.where(of_behavior[..., None], edited, inputs)
    before, after = encode(projection, inputs, ids), encode(projection, edited, ids)
    np.testing.assert_allclose(after[~of_behavior], before[~of_behavior], atol=1e-6)
    if of_behavior.any():
        assert np.abs(after[of_behavior] - before[of_behavior]).max() > 1e-4


@each_projection
@property_test
@given(ids=ids(), t=st.integers(0, LENGTH - 1), seed=st.integers(0, 99))
def test_no_position_sees_a_later_one(projection, ids, t, seed):
    inputs, edited = draw_inputs(seed), draw_inputs(seed + 100)
    edited[:, : t + 1] = inputs[:, : t + 1]
    before, after = encode(projection, inputs, ids), encode(projection, edited, ids)
    np.testing.assert_allclose(after[:, : t + 1], before[:, : t + 1], atol=1e-6)


@each_projection
@property_test
@given(ids=ids(), seed=st.integers(0, 99))
def test_what_stands_at_padding_does_not_matter(projection, ids, seed):
    inputs, edited = draw_inputs(seed), draw_inputs(seed + 100)
    edited = np.where((ids == 0)[..., None], 1e3 * edited, inputs)
    before, after = encode(projection, inputs, ids), encode(projection, edited, ids)
    np.testing.assert_allclose(after, before, atol=1e-6)
    assert (after[ids == 0] == 0).all()


def test_unknown_projection_is_an_error():
    with pytest.raises(ValueError, match=r"projection must be one of .* got 'both'"):
        BehaviorEncoder(2, projection="both")


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="num_heads must divide dim"):
        BehaviorEncoder(2, num_heads=3).build((None, LENGTH, DIM), (None, LENGTH))
