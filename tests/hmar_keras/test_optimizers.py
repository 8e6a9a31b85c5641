import keras
import numpy as np
import pytest
from keras import ops
from reference_model import assert_close

from hmar_keras.optimizers import Adam, LazyAdam

ROWS, DIM, BETAS, EPSILON, RATE = 6, 2, (0.9, 0.98), 1e-7, 0.1
# Item 5 is never touched, item 1 several times in one batch, item 4 in some batches only.
BATCHES = np.array([[[1, 1], [2, 1]], [[4, 2], [1, 3]], [[3, 3], [3, 3]], [[4, 1], [1, 1]]])
WEIGHTS = np.random.default_rng(0).normal(size=(ROWS, DIM)).astype("float32")


def train(optimizer, jit_compile):
    """Trains on the mean square of embedding rows, whose gradient has a simple form."""
    given = keras.Input((2,), dtype="int32")
    model = keras.Model(given, keras.layers.Embedding(ROWS, DIM)(given))
    model.set_weights([WEIGHTS])
    model.compile(optimizer, "mse", jit_compile=jit_compile)
    for batch in BATCHES:
        model.train_on_batch(batch.astype("int32"), np.zeros((2, 2, DIM), "float32"))
    return model


def reference(beta_1):
    """Computes Adam over the whole table, step by step."""
    weights = WEIGHTS.astype("float64")
    momentum, velocity = np.zeros_like(weights), np.zeros_like(weights)
    for step, batch in enumerate(BATCHES, 1):
        gradient = np.zeros_like(weights)
        for item in batch.ravel():
            gradient[item] += 2 * weights[item] / (batch.size * DIM)
        momentum += (1 - beta_1) * (gradient - momentum)
        velocity += (1 - BETAS[1]) * (gradient**2 - velocity)
        first = momentum / (1 - beta_1**step)
        second = velocity / (1 - BETAS[1] ** step)
        # As in Keras, epsilon is added before the second moment is corrected.
        epsilon = EPSILON / np.sqrt(1 - BETAS[1] ** step)
        weights -= RATE * first / (np.sqrt(second) + epsilon)
    return weights, velocity


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("cls", [Adam, LazyAdam])
def test_rows_of_a_repeated_item_are_one_gradient(cls, jit_compile):
    """Adam equals the reference; LazyAdam updates tables like Adam without a first moment."""
    if jit_compile and keras.backend.backend() == "torch":
        pytest.skip("torch does not compile here")
    weights = train(cls(RATE, *BETAS, EPSILON), jit_compile).get_weights()[0]
    expected, _ = reference(BETAS[0] if cls is Adam else 0.0)
    assert_close(weights, expected)
    np.testing.assert_array_equal(weights[5], WEIGHTS[5])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_second_moments_fade_while_a_row_rests(jit_compile):
    if jit_compile and keras.backend.backend() == "torch":
        pytest.skip("torch does not compile here")
    optimizer = LazyAdam(RATE, *BETAS, EPSILON)
    train(optimizer, jit_compile)
    velocity, last_step = (ops.convert_to_numpy(variable) for variable in optimizer.variables[2:])
    assert last_step.shape == (ROWS, 1)  # and there is no first moment
    faded = velocity * BETAS[1] ** (len(BATCHES) - last_step)
    assert_close(faded, reference(0.0)[1])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow updates rows")
def test_rows_that_are_not_touched_are_not_written():
    optimizer = LazyAdam(RATE, *BETAS)
    train(optimizer, False)
    # The last batch that touched each item; item 5 is never touched.
    assert optimizer.variables[3].numpy().ravel().tolist() == [0, 4, 2, 3, 4, 0]


def test_a_seldom_row_moves_as_far_as_under_adam():
    """One touch in 400 steps moves a row as far in one step as momentum does over many."""
    moved = []
    for optimizer in (Adam(0.01, 0.9, 0.98), LazyAdam(0.01, 0.9, 0.98)):
        model = keras.Sequential([keras.layers.Embedding(2, 1), keras.layers.Flatten()])
        model.build((None, 1))
        model.set_weights([np.full((2, 1), 5.0)])
        model.compile(optimizer, "mse", jit_compile=False)
        for step in range(400):
            row = np.array([[int(step == 200)]], "int32")
            model.train_on_batch(row, np.zeros((1, 1), "float32"))
        moved.append(5.0 - float(model.get_weights()[0][1, 0]))
    assert moved[1] == pytest.approx(moved[0], rel=0.15)


def test_weights_that_are_no_table_move_as_under_adam():
    outcomes = []
    for cls in (keras.optimizers.Adam, Adam, LazyAdam):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        model.compile(cls(0.1), "mse")
        inputs = np.eye(4, 3, dtype="float32")  # the last row is zero, but no column is
        model.fit(inputs, np.ones((4, 2)), epochs=3, batch_size=2, shuffle=False, verbose=0)
        outcomes.append(np.concatenate([weight.ravel() for weight in model.get_weights()]))
    for outcome in outcomes[1:]:
        np.testing.assert_allclose(outcome, outcomes[0], rtol=1e-6)


@pytest.mark.parametrize("cls", [Adam, LazyAdam])
def test_a_weight_without_axes_moves_too(cls):
    """For example the gate of a custom layer."""
    variable = keras.Variable(1.0)
    optimizer = cls(RATE)
    optimizer.build([variable])
    optimizer.apply([ops.convert_to_tensor(2.0)], [variable])
    assert float(ops.convert_to_numpy(variable)) == pytest.approx(1 - RATE, abs=1e-5)


@pytest.mark.parametrize("cls", [Adam, LazyAdam])
def test_a_loaded_model_goes_on_as_if_it_had_not_been_saved(tmp_path, cls):
    model = train(cls(RATE, *BETAS), False)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is cls
    batch, truth = BATCHES[0].astype("int32"), np.zeros((2, 2, DIM), "float32")
    for each in (model, loaded):
        each.train_on_batch(batch, truth)
    np.testing.assert_array_equal(model.get_weights()[0], loaded.get_weights()[0])


@pytest.mark.parametrize("arguments", [{"amsgrad": True}, {"weight_decay": 0.1}])
def test_what_moves_every_row_is_refused(arguments):
    with pytest.raises(ValueError, match=r"use keras\.optimizers\.Adam"):
        LazyAdam(**arguments)
