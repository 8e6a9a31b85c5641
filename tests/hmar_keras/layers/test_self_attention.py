import numpy as np
import pytest
import reference
from keras import ops
from layer_checks import randomize, run_layer_test
from reference_model import assert_close

from hmar_keras.layers import SelfAttention
from hmar_keras.masks import history_mask, same_behavior_mask

DIM, BEHAVIORS = 4, 3
BEHAVIOR_IDS = np.array([[0, 0, 1, 3, 1], [2, 1, 2, 3, 2], [0, 0, 0, 0, 0]], "int32")
INPUTS = np.random.default_rng(0).normal(size=(3, 5, DIM)).astype("float32")


def make_layer(**kwargs):
    layer = SelfAttention(**kwargs)
    layer.build((None, None, DIM))
    randomize(layer)
    return layer


def masks():
    mask = history_mask(BEHAVIOR_IDS), same_behavior_mask(BEHAVIOR_IDS)
    return [ops.convert_to_numpy(each) for each in mask]


def attend(kernel, row, allowed, num_heads):
    kernels = np.split(np.asarray(kernel, "float64"), 3, axis=1)
    return reference.attention(INPUTS[row].astype("float64"), *kernels, allowed, num_heads)


@pytest.mark.parametrize("num_behaviors", [None, BEHAVIORS])
def test_layer(tmp_path, num_behaviors):
    # No padding: the output of a query without any key is undefined.
    ids = np.array([[1, 2, 1, 3], [3, 3, 2, 1]], "int32")
    inputs = (INPUTS[:2, 1:], ops.convert_to_numpy(history_mask(ids)))
    inputs += () if num_behaviors is None else (ids,)
    kwargs = {"num_heads": 2, "num_behaviors": num_behaviors}
    run_layer_test(SelfAttention, kwargs, inputs, tmp_path)


@pytest.mark.parametrize("num_heads", [1, 2, 4])
def test_one_set_of_projections_equals_the_reference(num_heads):
    layer, (mask, _) = make_layer(num_heads=num_heads), masks()
    outputs = ops.convert_to_numpy(layer(INPUTS, mask))
    kernel = ops.convert_to_numpy(layer.query_key_value.kernel)
    assert np.isfinite(outputs).all()
    for row, real in enumerate(BEHAVIOR_IDS != 0):
        assert_close(outputs[row][real], attend(kernel, row, mask[row], num_heads)[real])


@pytest.mark.parametrize("num_heads", [1, 2])
def test_a_set_for_each_behavior_equals_separate_attentions(num_heads):
    layer, (_, mask) = make_layer(num_heads=num_heads, num_behaviors=BEHAVIORS), masks()
    outputs = ops.convert_to_numpy(layer(INPUTS, mask, BEHAVIOR_IDS))
    kernels = ops.convert_to_numpy(layer.query_key_value.kernel)
    assert np.isfinite(outputs).all()
    for row, ids in enumerate(BEHAVIOR_IDS):
        for behavior in range(1, BEHAVIORS + 1):
            of_behavior = ids == behavior
            allowed = np.tril(np.ones((5, 5), bool)) & of_behavior[None]
            expected = attend(kernels[behavior - 1], row, allowed, num_heads)
            assert_close(outputs[row][of_behavior], expected[of_behavior])


def test_one_head_sees_the_whole_width():
    mask = masks()[0]
    one, two = (make_layer(num_heads=heads)(INPUTS, mask) for heads in (1, 2))
    assert np.abs(ops.convert_to_numpy(one) - ops.convert_to_numpy(two)).max() > 1e-3


@pytest.mark.parametrize("num_behaviors", [None, BEHAVIORS])
def test_kernels_start_as_glorot_would_draw_each(num_behaviors):
    layer = SelfAttention(num_behaviors=num_behaviors)
    layer.build((None, None, 48))
    kernel = ops.convert_to_numpy(layer.query_key_value.kernel)
    limit = np.sqrt(6 / (48 + 48))
    assert np.abs(kernel).max() <= limit
    assert np.std(kernel) == pytest.approx(limit / np.sqrt(3), rel=0.05)


@pytest.mark.parametrize("num_heads", [0, 3])
def test_heads_must_divide_the_width(num_heads):
    with pytest.raises(ValueError, match=f"num_heads must divide dim, got num_heads={num_heads}"):
        make_layer(num_heads=num_heads)
