import os
import signal
import threading

import numpy as np
import pytest

from pipelines.runtime.interruption import Interruption


def press():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(autouse=True)
def interactive():
    """Handles Ctrl-C as at a terminal, wherever the tests run."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_step_in_which_it_was_pressed_is_the_last():
    interruption = Interruption()
    done = []
    with pytest.raises(KeyboardInterrupt), interruption.listening():
        for step in range(5):
            if step == 2:
                press()
            done.append(step)
            interruption.on_train_batch_end(step)
    assert done == [0, 1, 2]
    with pytest.raises(KeyboardInterrupt):
        press()  # the usual handler is back


def test_pressed_twice_it_does_not_wait():
    interruption = Interruption()
    with interruption.listening():
        press()
        with pytest.raises(KeyboardInterrupt):
            press()


def test_at_once_it_is_raised_again_where_it_was_lost():
    interruption = Interruption(at_once=True)
    with interruption.listening():
        interruption.raise_if_asked()
        with pytest.raises(KeyboardInterrupt):
            press()
        with pytest.raises(KeyboardInterrupt):
            interruption.raise_if_asked()


def test_tensorflow_loses_it_where_it_deletes_a_function(monkeypatch):
    """The reason why `Interruption` records it; if this fails, TensorFlow has fixed it."""
    from tensorflow.python.eager.polymorphic_function import concrete_function
    from tensorflow.python.framework import func_graph

    pressed = []

    def dismantle(graph):
        pressed.append(graph)
        press()

    monkeypatch.setattr(func_graph, "dismantle_func_graph", dismantle)
    collector = concrete_function.ConcreteFunctionGarbageCollector("a graph")
    interruption = Interruption(at_once=True)
    with interruption.listening():
        del collector
        assert pressed == ["a graph"]
        with pytest.raises(KeyboardInterrupt):
            interruption.raise_if_asked()


def test_a_process_in_the_background_goes_on_ignoring_it():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interruption = Interruption()
    with interruption.listening():
        press()
        interruption.on_train_batch_end(0)
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_other_threads_leave_it_alone():
    seen = []

    def listen():
        with Interruption().listening():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_keras_calls_it_after_every_step():
    import keras

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    interruption, steps = Interruption(), []

    class Presses(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            steps.append(batch)
            if batch == 3:
                press()

    with pytest.raises(KeyboardInterrupt), interruption.listening():
        model.fit(
            np.zeros((9, 1)), np.zeros((9, 1)), batch_size=1, verbose=0,
            callbacks=[Presses(), interruption],
        )  # fmt: skip
    assert steps == [0, 1, 2, 3]
