"""Checks that every layer must pass, in one function that each layer's test calls."""

import json

import keras
import numpy as np
from keras import ops
from reference_model import assert_close

MIXED_POLICIES = ("mixed_bfloat16", "mixed_float16")
if keras.backend.backend() == "jax":  # compiles every operation for every dtype, which is slow
    MIXED_POLICIES = MIXED_POLICIES[:1]


def run_layer_test(cls, init_kwargs, inputs, tmp_path, *, float32_output=False):
    """Checks serialisation, shapes, saving, training and mixed precision of a layer.

    Args:
        cls: the layer's class.
        init_kwargs: arguments of its constructor.
        inputs: arrays, the arguments of its call, in order. Together they must reach every weight.
        tmp_path: a folder to save in.
        float32_output: whether the layer computes in float32 under every policy.
    """
    layer = cls(**init_kwargs)
    expected = ops.convert_to_numpy(layer(*inputs))
    _check_config(cls, layer, init_kwargs)
    _check_shapes(cls, init_kwargs, inputs, expected)
    randomize(layer)
    expected = ops.convert_to_numpy(layer(*inputs))
    _check_mixed_precision(cls, init_kwargs, layer, inputs, expected, float32_output)
    model = keras.Model(symbolic := [_symbolic_input(array) for array in inputs], layer(*symbolic))
    _check_saving(model, inputs, expected, tmp_path)
    if layer.trainable_weights:
        _check_training(model, inputs, expected)


def _check_config(cls, layer, init_kwargs):
    config = layer.get_config()
    for name, value in init_kwargs.items():
        if name != "name":
            assert config[name] == value
    text = json.dumps(keras.saving.serialize_keras_object(layer))
    revived = keras.saving.deserialize_keras_object(json.loads(text))
    assert type(revived) is cls
    assert revived.get_config() == config
    assert cls.from_config(config).get_config() == config
    _check_what_every_layer_keeps(cls, layer, init_kwargs)


def _check_what_every_layer_keeps(cls, layer, init_kwargs):
    """Checks name, trainable and dtype policy; a layer may always compute in float32."""
    more = {"name": "another", "trainable": False, "dtype": "mixed_bfloat16"}
    other = cls(**{**init_kwargs, **more})
    revived = cls.from_config(other.get_config())
    assert (revived.name, revived.trainable) == ("another", False)
    assert revived.dtype_policy.name == other.dtype_policy.name
    assert other.dtype_policy.name in ("mixed_bfloat16", "float32")


def _check_shapes(cls, init_kwargs, inputs, expected):
    layer = cls(**init_kwargs)
    tensors = [keras.KerasTensor(array.shape, _dtype(array)) for array in inputs]
    symbolic = layer(*tensors)
    assert tuple(symbolic.shape) == expected.shape
    assert symbolic.dtype == expected.dtype
    shapes = [array.shape for array in inputs]
    assert tuple(layer.compute_output_shape(*shapes)) == expected.shape
    # With unknown length and batch size, every axis is either None or correct.
    open_shape = cls(**init_kwargs)(*(_symbolic_input(array) for array in inputs)).shape
    assert len(open_shape) == expected.ndim
    for known, size in zip(open_shape, expected.shape, strict=True):
        assert known in (None, size)


def _check_saving(model, inputs, expected, tmp_path):
    assert_close(ops.convert_to_numpy(model(list(inputs))), expected, 1e-6)
    model.save(tmp_path / "layer.keras")
    loaded = keras.saving.load_model(tmp_path / "layer.keras")
    np.testing.assert_array_equal(
        ops.convert_to_numpy(loaded(list(inputs))), ops.convert_to_numpy(model(list(inputs)))
    )


def _check_training(model, inputs, expected):
    before = [ops.convert_to_numpy(v).copy() for v in model.trainable_variables]
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(list(inputs), expected + 1.0, batch_size=len(expected), epochs=1, verbose=0)
    for variable, old in zip(model.trainable_variables, before, strict=True):
        new = ops.convert_to_numpy(variable)
        assert np.isfinite(new).all(), variable.path
        assert (new != old).any(), variable.path


def _check_mixed_precision(cls, init_kwargs, layer, inputs, expected, float32_output):
    for policy in MIXED_POLICIES:
        mixed = cls(**init_kwargs, dtype=policy)
        mixed(*inputs)
        mixed.set_weights(layer.get_weights())
        outputs = mixed(*inputs)
        computed = "float32" if float32_output else policy.removeprefix("mixed_")
        assert keras.backend.standardize_dtype(outputs.dtype) == computed
        tensors = [keras.KerasTensor(array.shape, _dtype(array)) for array in inputs]
        assert mixed(*tensors).dtype == computed
        assert {v.dtype for v in mixed.trainable_weights} <= {"float32"}
        assert {v.dtype for v in mixed.weights} <= {"float32", "int64"}
        assert_close(ops.convert_to_numpy(ops.cast(outputs, "float32")), expected, 0.03)


def _dtype(array):
    return keras.backend.standardize_dtype(array.dtype)


def _symbolic_input(array):
    # Every axis but a feature axis may vary.
    features = array.shape[-1:] if array.dtype.kind == "f" else (None,) * (array.ndim > 1)
    return keras.Input((*(None,) * (array.ndim - 2), *features), dtype=_dtype(array))


def randomize(layer, seed=0):
    """Overwrites every weight with random values."""
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.uniform(-0.6, 0.6, weight.shape) for weight in layer.get_weights()])


def gradients(model, x, y, **compile_kwargs):
    """Returns the loss of a batch, and its gradients by the path of each trainable variable.

    Works on every backend: one step of plain gradient descent at a rate of 1 moves a weight by its
    gradient. The weights are restored afterwards.
    """
    variables = model.trainable_variables
    before = [ops.convert_to_numpy(v).copy() for v in variables]
    model.compile(keras.optimizers.SGD(1.0), jit_compile=False, **compile_kwargs)
    loss = float(model.train_on_batch(x, y, return_dict=True)["loss"])
    after = [ops.convert_to_numpy(v).copy() for v in variables]
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    return loss, {
        variable.path: old - new
        for variable, old, new in zip(variables, before, after, strict=True)
    }
