import keras
import numpy as np
import pytest
from keras import ops
from layer_checks import gradients
from reference_model import assert_close

from hmar_keras import kernels
from hmar_keras.layers import BehaviorDense
from hmar_keras.masks import history_mask

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="a form for TensorFlow only"
)
FORMS = [
    kernels.BlockGroups,
    pytest.param(kernels.SortedGroups, marks=on_tensorflow),
]
ROWS, DIM, UNITS, BEHAVIORS = 9, 3, 4, 3
IDS = {
    "some": [0, 3, 1, 1, 0, 3, 2, 1, 3],
    "one behaviour missing": [3, 1, 1, 0, 3, 3, 3, 1, 1],
    "no padding": [1, 2, 3, 3, 2, 1, 1, 1, 1],
    "only padding": [0] * ROWS,
}
rng = np.random.default_rng(0)
INPUTS = rng.normal(size=(ROWS, DIM)).astype("float32")
BIAS = rng.normal(size=(BEHAVIORS, UNITS)).astype("float32")
KERNEL = rng.normal(size=(BEHAVIORS, DIM, UNITS)).astype("float32")


class Product(keras.layers.Layer):
    """A form of the product whose inputs, kernel and bias are all weights."""

    def __init__(self, form, use_bias, **kwargs):
        super().__init__(**kwargs)
        self.form, self.use_bias = form, use_bias

    def build(self, ids_shape):
        self.inputs = self.add_weight(shape=(1, ROWS, DIM), name="inputs")
        self.kernel = self.add_weight(shape=KERNEL.shape, name="kernel")
        if self.use_bias:
            self.bias = self.add_weight(shape=BIAS.shape, name="bias")

    def call(self, ids):
        inputs, *weights = (ops.reshape(w, w.shape) for w in self.weights)
        groups = self.form(ids)
        return groups.positions(groups.matmul(groups.rows(inputs), *weights))


@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ids", IDS.values(), ids=IDS)
def test_every_form_has_the_values_and_gradients_of_a_loop(form, ids, use_bias):
    ids = np.array(ids, "int32")
    layer = Product(form, use_bias)
    layer.build((1, *ids.shape))
    layer.set_weights([INPUTS[None], KERNEL, BIAS][: len(layer.weights)])
    bias = BIAS * use_bias
    expected = np.array(
        [INPUTS[i] @ KERNEL[b - 1] + bias[b - 1] if b else [0] * UNITS for i, b in enumerate(ids)]
    )
    model = keras.Model(given := keras.Input(batch_shape=(1, ROWS), dtype="int32"), layer(given))
    assert_close(ops.convert_to_numpy(model(ids[None]))[0], expected)
    # The gradient of the mean of (y - 1)^2: 2 (y - 1) / size.
    _, found = gradients(model, ids[None], np.ones_like(expected)[None], loss="mse")
    upstream = 2 * (expected - 1) / expected.size
    to = {"inputs": INPUTS[None] * 0, "kernel": KERNEL * 0, "bias": BIAS * 0}
    for i, b in enumerate(ids):
        if b:
            to["inputs"][0, i] = KERNEL[b - 1] @ upstream[i]
            to["kernel"][b - 1] += np.outer(INPUTS[i], upstream[i])
            to["bias"][b - 1] += upstream[i]
    assert len(found) == 2 + use_bias
    for path, gradient in found.items():
        assert_close(gradient, to[path.split("/")[-1]], 1e-5)


class Scores(keras.layers.Layer):
    """`dot_candidates` with weights as its inputs."""

    def build(self, input_shape):
        self.states = self.add_weight(shape=(2, 3, 4), name="states")
        self.items = self.add_weight(shape=(2, 3, 5, 4), name="items")

    def call(self, factor):
        states, items = (ops.reshape(w, w.shape) for w in self.weights)
        return factor * kernels.dot_candidates(states, items)


def test_a_state_times_its_candidates():
    states, items = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 5, 4))
    model = keras.Sequential([keras.Input(batch_shape=(2, 1, 1)), layer := Scores()])
    layer.set_weights([states, items])
    factor, expected = np.ones((2, 1, 1)), np.einsum("bsd,bscd->bsc", states, items)
    assert_close(ops.convert_to_numpy(model(factor)), expected)
    with kernels.portable_kernels():
        assert_close(ops.convert_to_numpy(model(factor)), expected)
    _, found = gradients(model, factor, np.ones_like(expected), loss="mse")
    upstream = 2 * (expected - 1) / expected.size
    to = {
        "states": np.einsum("bsc,bscd->bsd", upstream, items),
        "items": np.einsum("bsc,bsd->bscd", upstream, states),
    }
    for path, gradient in found.items():
        assert_close(gradient, to[path.split("/")[-1]], 1e-5)


@on_tensorflow
def test_xla_gets_shapes_that_do_not_depend_on_the_data():
    """Holds on a CPU too, where the other form is the default, which XLA cannot compile."""
    ids = np.array([[0, 1, 3, 3], [2, 2, 1, 2]], "int32")
    inputs = INPUTS[:8].reshape(2, 4, DIM)
    losses = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(0)
        symbolic = keras.Input((None, DIM)), keras.Input((None,), dtype="int32")
        model = keras.Model(symbolic, BehaviorDense(BEHAVIORS, UNITS)(*symbolic))
        model.compile("sgd", "mse", jit_compile=jit_compile)
        logs = model.fit([inputs, ids], np.ones((2, 4, UNITS)), epochs=3, verbose=0).history
        losses.append(logs["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[0][2] < losses[0][0]


@on_tensorflow
def test_a_form_for_any_device_can_be_asked_for():
    tensor = ops.convert_to_tensor(INPUTS)
    before = kernels.sizes_may_vary(tensor)
    with pytest.raises(RuntimeError), kernels.portable_kernels():
        assert not kernels.sizes_may_vary(tensor)
        raise RuntimeError
    assert kernels.sizes_may_vary(tensor) == before


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("length", [1, 5])
def test_plain_attention_is_the_fused_one(heads, length):
    query, key, value = rng.normal(size=(3, 2, length, heads, 4)).astype("float32")
    ids = np.array([[0, 0, 1, 2, 3], [1, 2, 3, 4, 5]], "int32")[:, -length:]
    mask = history_mask(ids)
    plain = ops.convert_to_numpy(kernels.plain_attention(query, key, value, mask))
    fused = ops.dot_product_attention(query, key, value, mask=mask[:, None])
    real = ids > 0
    assert_close(plain[real], ops.convert_to_numpy(fused)[real])
    assert np.isfinite(plain).all()


class Attention(keras.layers.Layer):
    """A form of attention whose query, key and value are weights."""

    def __init__(self, form, values, **kwargs):
        super().__init__(**kwargs)
        self.form, self.values = form, values

    def build(self, ids_shape):
        for name, value in zip(("query", "key", "value"), self.values, strict=True):
            self.add_weight(shape=value.shape, name=name)
        self.set_weights(list(self.values))

    def call(self, ids):
        query, key, value = (ops.reshape(w, w.shape) for w in self.weights)
        attended = self.form(query, key, value, history_mask(ids))
        return attended * ops.cast(ids > 0, "float32")[..., None, None]


@pytest.mark.parametrize("heads", [1, 2])
def test_plain_attention_has_the_gradients_of_the_fused_one(heads):
    values = rng.normal(size=(3, 2, 5, heads, 4)).astype("float32")
    ids = np.array([[0, 0, 1, 2, 3], [1, 2, 3, 4, 5]], "int32")

    def fused(query, key, value, mask):
        return ops.dot_product_attention(query, key, value, mask=mask[:, None])

    found = []
    for form in (kernels.plain_attention, fused):
        layer = Attention(form, values, name="attention")
        model = keras.Model(
            given := keras.Input(batch_shape=ids.shape, dtype="int32"), layer(given)
        )
        found.append(gradients(model, ids, np.ones_like(values[0]), loss="mse")[1])
    of_plain, of_fused = found
    assert of_plain.keys() == of_fused.keys()
    for path, gradient in of_fused.items():
        assert np.abs(gradient).max() > 1e-3
        assert_close(of_plain[path], gradient, 1e-5)


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_last_steps(steps):
    states = rng.normal(size=(2, 5, DIM)).astype("float32")
    last = kernels.last_steps(ops.convert_to_tensor(states), np.zeros((2, steps, 7)))
    np.testing.assert_array_equal(ops.convert_to_numpy(last), states[:, 5 - steps :])


@pytest.mark.parametrize("shape", [(2, 3, DIM), (5, DIM), (2, 3, 2, DIM), (0, 3, DIM)])
def test_a_dense_layer_at_every_position(shape):
    layer = keras.layers.Dense(UNITS, "relu")
    inputs = rng.normal(size=shape).astype("float32")
    found = kernels.at_every_position(layer, inputs)
    expected = np.maximum(inputs @ ops.convert_to_numpy(layer.kernel), 0)
    assert_close(ops.convert_to_numpy(found), expected)


def test_values_of_behaviors_are_those_of_the_ids_and_0_at_padding():
    ids = np.array([[0, 1, 3], [2, 2, 0]], "int32")
    values = np.array([0.1, -2.0, 3.0], "float32")
    found = ops.convert_to_numpy(kernels.values_of_behaviors(ops.convert_to_tensor(values), ids))
    np.testing.assert_array_equal(found, np.array([0, *values], "float32")[ids])
