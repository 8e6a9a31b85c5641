"""Training is the same on one device, two devices and another backend, in new processes."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.evaluation.evaluator import Evaluator, model_scorer
from pipelines.protocol.splits import split
from pipelines.runtime.data_parallel import pad_rows
from pipelines.runtime.hardware import Hardware
from pipelines.training.fit import train
from pipelines.training.run_config import RunConfig
from pipelines.training.run_directory import RunDirectory

from ..runs import last_state, without_times
from ..training.fresh_training import Plan, train_elsewhere

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def configs(log):
    """Returns settings without and with dropout; the batch size is odd."""
    config = RunConfig.of(
        log.num_items, log.behaviors, dim=8, max_length=6, batch_size=9, epochs=3
    ).replace(learning_rate=0.02)
    return {"plain": config.replace(dropout=0.0), "dropout": config.replace(dropout=0.3)}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory, log, configs):
    """Trains without dropout and, if `resume`, with it: in one go, and resumed after an epoch."""
    finished = {}

    def trained(backend, devices, resume=True):
        if (backend, devices) not in finished:
            home = tmp_path_factory.mktemp(f"{backend}-{devices}")
            names = ["plain", "dropout"] if resume else ["plain"]
            runs = [(home / name, configs[name].to_dict()) for name in names]
            resumed = {home / "dropout": home / "resumed"} if resume else {}
            train_elsewhere(home / "plan", backend, Plan(log, {"devices": devices}, runs, resumed))
            finished[backend, devices] = {
                name: RunDirectory(home / name) for name in [*names, "resumed"]
            }
        return finished[backend, devices]

    return trained


def same_curves(first, second):
    """Checks that losses and metrics of every epoch, also in validation, agree up to rounding."""
    assert len(first.history()) == len(second.history()) == 3
    for one, two in zip(without_times(first), without_times(second), strict=True):
        assert one == pytest.approx(two, rel=1e-5, abs=1e-5)
    losses = [entry["loss"] for entry in first.history()]
    assert losses[-1] < losses[0] - 0.02  # learns much more than the tolerance


def test_tensorflow_on_two_devices_is_tensorflow_on_one(elsewhere, tmp_path, log, configs):
    run = RunDirectory.create(tmp_path / "run", {}, configs["plain"])
    train(split(log), configs["plain"], run, 0)
    same_curves(run, elsewhere("tensorflow", 2)["plain"])


def test_jax_on_two_devices_is_jax_on_one(elsewhere):
    same_curves(elsewhere("jax", 1)["plain"], elsewhere("jax", 2, resume=False)["plain"])


@pytest.mark.parametrize(("backend", "devices"), [("tensorflow", 2), ("jax", 1)])
def test_resuming_is_exact(elsewhere, backend, devices):
    whole, resumed = (elsewhere(backend, devices)[name] for name in ("dropout", "resumed"))
    assert without_times(whole) == without_times(resumed)
    state, state_again = last_state(whole), last_state(resumed)
    assert state.keys() == state_again.keys()
    assert [name for name in state if not np.array_equal(state[name], state_again[name])] == []
    plain = elsewhere(backend, devices)["plain"].history()
    assert plain[-1]["loss"] != whole.history()[-1]["loss"]


def test_a_model_trained_by_jax_loads_in_tensorflow(elsewhere, log):
    run = elsewhere("jax", 1)["plain"]
    model = keras.saving.load_model(run.model)
    results = Evaluator(log, split(log).validation, 0)(model_scorer(model, log))
    best = max(run.history(), key=lambda entry: entry["val_score"])
    assert results["full"]["ndcg@10"] == pytest.approx(best["val_full_ndcg@10"], abs=1e-6)


def test_rows_of_padding_are_added_at_the_end():
    batch = {"ids": tf.ones((3, 2), tf.int32)}, tf.ones((3, 2, 5))
    ((ids, truth),) = pad_rows(tf.data.Dataset.from_tensors(batch), 4)
    assert ids["ids"].numpy().tolist() == [[1, 1]] * 3 + [[0, 0]]
    assert truth.shape == (4, 2, 5)
    ((ids, _),) = pad_rows(tf.data.Dataset.from_tensors(batch), 3)
    assert ids["ids"].shape == (3, 2)


_REPLICAS = """
import keras, numpy as np
from pipelines.runtime.data_parallel import Devices, assign_dropout_state
from pipelines.runtime.hardware import Hardware
hardware = Hardware(devices=2)
hardware.prepare()
with Devices(hardware).building():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5)])
layer = model.layers[0]
for _ in range(2):
    assign_dropout_state(model, layer, np.random.SeedSequence([0, 1]))
    copies = model.distribute_strategy.experimental_local_results(layer.seed_generator.state.value)
    print([copy.numpy().tolist() for copy in copies])
"""


def test_every_replica_draws_its_own_dropout():
    process = subprocess.run(
        [sys.executable, "-c", _REPLICAS], capture_output=True, text=True, timeout=300
    )
    first, second = process.stdout.splitlines()
    assert first == second
    one, two = json.loads(first)
    assert one != two


def test_devices_that_are_not_there_are_refused(log, configs, tmp_path):
    with pytest.raises(ValueError, match="first in a new process"):
        Hardware(devices=64).prepare()
    run = RunDirectory.create(tmp_path / "run", {}, configs["plain"])
    with pytest.raises(ValueError, match="has already started with"):
        train(split(log), configs["plain"], run, 0, Hardware(devices=64))
