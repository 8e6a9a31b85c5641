"""The GPU benchmark on a CPU: all its ways to train agree, and it runs end to end."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.backends

ROOT = pathlib.Path(__file__).parents[2]
BOTH_WAYS = """
import sys
sys.path.append("benchmarks")
import gpu_training
import keras
import numpy as np
from hmar_keras import compile_arguments
from pipelines.training.run_config import RunConfig

config = RunConfig.preset(
    "taobao", 50, gpu_training.BEHAVIORS, dim=8, max_length=20, batch_size=4, dropout=0.0
)
splits, training = gpu_training.simulated(30, 50, 20), config.training
data = gpu_training.DeviceBatches(splits, config.build_model(), training, seed=0)
batches = gpu_training.on_host(data)
assert sum(len(x["item_ids"]) for x, _ in batches) == 30
batches.sort(key=lambda batch: batch[0]["item_ids"].shape)
keras.utils.set_random_seed(0)
model = config.build_model()
trained = gpu_training.program_epoch(model, training, batches)()
model.compile(**compile_arguments(model, training))
for inputs, targets in batches:
    model.train_on_batch(inputs, targets)
for one, other in zip(trained, model.trainable_variables, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
"""


def run(*arguments):
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)}
    environment["TF_CPP_MIN_LOG_LEVEL"] = "2"
    subprocess.run([sys.executable, *arguments], env=environment, cwd=ROOT, check=True)


def test_steps_on_the_device_are_those_of_fit():
    pytest.importorskip("jax")
    run("-c", BOTH_WAYS)


def test_it_measures_all_beside_the_plain_model(tmp_path):
    pytest.importorskip("jax")
    file = tmp_path / "gpu.json"
    small = ["--scale", "0.001", "--settings", '{"dim": 8, "max_length": 24}']
    run("benchmarks/gpu_training.py", *small, "--precisions", "float32", "--json", str(file))
    rows = {row["name"]: row for row in json.loads(file.read_text())["rows"]}
    ways = ["batches", "host, float32", "device, float32", "program, float32", "plain, float32"]
    assert list(rows) == ways
    for row in rows.values():
        assert row["steps/s"] * row["ms a step"] == pytest.approx(1000)
        assert row["sequences/s"] * row["seconds an epoch"] == pytest.approx(148)
