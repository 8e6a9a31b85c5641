import numpy as np
import pytest
import reference
from keras import ops
from layer_checks import run_layer_test
from reference_model import assert_close, load_sequence_block, make_config, make_weights

from hmar_keras.layers import SequenceEncoder

DIM = 4
IDS = np.array([[0, 0, 4, 1, 4, 2], [2, 1, 2, 5, 2, 1], [0] * 6], "int32")
STAGE, RESIDUAL = np.random.default_rng(0).normal(size=(2, 3, 6, DIM)).astype("float32")
each_norm = pytest.mark.parametrize("layer_norm", [False, True])


def make_encoder(layer_norm, residual, num_heads=2):
    config = make_config(variant="release" if layer_norm else "paper")
    block = make_weights(config)["sequence_blocks"][0]
    layer = SequenceEncoder(num_heads, feed_forward_residual=residual, layer_norm=layer_norm)
    layer.build(STAGE.shape)
    load_sequence_block(layer, block)
    return layer, block


@each_norm
def test_layer(tmp_path, layer_norm):
    kwargs = {
        **{"num_heads": 2, "dropout": 0.1, "seed": 3},
        **{"feed_forward_residual": True, "layer_norm": layer_norm},
    }
    inputs = (STAGE[:2], RESIDUAL[:2], IDS[:2])
    run_layer_test(SequenceEncoder, kwargs, inputs, tmp_path)


@each_norm
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("num_heads", [1, 2])
def test_equals_the_reference(layer_norm, residual, num_heads):
    layer, block = make_encoder(layer_norm, residual, num_heads)
    outputs = ops.convert_to_numpy(layer(STAGE, RESIDUAL, IDS))
    for row in range(len(IDS)):
        inputs = STAGE[row].astype("float64"), RESIDUAL[row].astype("float64")
        expected = reference.sequence_encoder(*inputs, IDS[row] != 0, block, num_heads, residual)
        assert_close(outputs[row], expected)


@each_norm
def test_what_stands_at_padding_does_not_matter(layer_norm):
    layer, _ = make_encoder(layer_norm, residual=True)
    padding = (IDS == 0)[..., None]
    before = ops.convert_to_numpy(layer(STAGE, RESIDUAL, IDS))
    edited = [np.where(padding, 1e3 * (1 + each), each) for each in (STAGE, RESIDUAL)]
    np.testing.assert_allclose(ops.convert_to_numpy(layer(*edited, IDS)), before, atol=1e-6)
    assert (before[IDS == 0] == 0).all()
    assert (before[IDS != 0] != 0).any()
