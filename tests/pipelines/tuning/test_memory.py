"""Twenty trials in one process take as much memory as one."""

import json
import subprocess
import sys
import textwrap

import pytest

from pipelines.runtime.custom_gradients import gradients_forgotten

pytestmark = pytest.mark.process

SEARCH = textwrap.dedent(
    """
    import gc, json, sys

    import keras_tuner

    from pipelines.datasets import load_dataset
    from pipelines.protocol.splits import split
    from pipelines.training.run_config import RunConfig
    from pipelines.tuning import HMARHyperModel, SearchSpace
    from tensorflow.python.framework.func_graph import FuncGraph

    found = []

    class Watched(HMARHyperModel):
        def fit(self, *arguments, **options):
            history = super().fit(*arguments, **options)
            with open("/proc/self/status") as status:
                memory = next(line for line in status if line.startswith("VmRSS"))
            found.append(int(memory.split()[1]) / 1024)
            return history

    splits = split(load_dataset("synthetic_shop/tiny"))
    log = splits.dataset
    small = {"dim": 4, "max_length": 6, "num_behavior_blocks": 0, "batch_size": 256}
    base = RunConfig.of(log.num_items, log.behaviors, epochs=1, **small)
    hypermodel = Watched(splits, SearchSpace.of(base, over=["alpha", "theta"]))
    objective = keras_tuner.Objective("val_score", "max")
    tuner = keras_tuner.RandomSearch(hypermodel, objective, max_trials=20, directory=sys.argv[1])
    tuner.search(verbose=0)
    gc.collect()
    graphs = sum(type(each) is FuncGraph for each in gc.get_objects())
    print(json.dumps({"memory": found, "graphs": graphs}))
    """
)


def test_memory_does_not_grow_with_the_trials(tmp_path):
    """The graphs of a trial take some 50 MiB, which TensorFlow does not free by itself."""
    command = [sys.executable, "-c", SEARCH, str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert process.returncode == 0, process.stderr
    found = json.loads(process.stdout.splitlines()[-1])
    assert len(found["memory"]) == 20
    assert max(found["memory"][10:]) - max(found["memory"][2:6]) < 50, found
    assert found["graphs"] <= 6, found  # those of the last trial


def test_what_was_traced_goes_on_and_what_was_registered_before_stays():
    import tensorflow as tf
    from tensorflow.python.framework import ops

    @tf.custom_gradient
    def doubled(x):
        return 2 * x, lambda upstream: 3 * upstream

    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = doubled(x)
        return tape.gradient(y, x)

    def registered():
        return {name for name in ops.gradient_registry.list() if name.startswith("CustomGradient")}

    before_step, within_step = tf.function(step), tf.function(step)
    before_step(tf.constant(1.0))
    before = registered()
    assert before
    with gradients_forgotten():
        assert within_step(tf.constant(1.0)).numpy() == 3
        assert registered() > before
    assert registered() == before
    assert within_step(tf.constant(1.0)).numpy() == 3
    assert within_step(tf.constant([1.0])).numpy() == 3  # traced again
    assert registered() > before
