"""The sharded item table, in fresh processes under JAX: four logical devices against one."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from pipelines.training.sharding import sharded_item_table

DEVICES, STEPS = 4, 4
TRAIN = """
import json, sys
import jax, keras, numpy as np
from hmar_keras import HMAR, Behaviors, HMARConfig, compile_arguments
from pipelines.training.sharding import sharded_item_table

devices, buckets, steps = map(int, sys.argv[1:])
items = 399
if devices > 1:
    assert len(jax.devices()) == devices
    keras.distribution.set_distribution(sharded_item_table(2 * buckets or items + 1))
keras.utils.set_random_seed(0)
settings = {"dim": 8, "max_length": 5, "dropout": 0.0, "item_buckets": buckets}
config = HMARConfig(items, Behaviors(("view", "buy"), "buy"), learning_rate=0.05, **settings)
model = HMAR(config)
model.compile(**compile_arguments(config))
rng, losses = np.random.default_rng(0), []
for _ in range(steps):
    ids = rng.integers(1, items + 1, (3, 8, 5)).astype("int32")
    behaviors = rng.integers(1, 3, (2, 8, 5)).astype("int32")
    inputs = {"item_ids": ids[0], "behavior_ids": behaviors[0]}
    inputs["candidate_ids"] = ids[1:].transpose(1, 2, 0)
    truth = {"ranking": behaviors[1], "behavior": behaviors[1]}
    losses.append(float(model.train_on_batch(inputs, truth, return_dict=True)["loss"]))
variables = [*model.variables, *model.optimizer.variables]
shapes = {v.path: [s.data.shape for s in v.value.addressable_shards] for v in variables}
whole = {v.path: v.shape for v in variables}
print(json.dumps({"losses": losses, "shapes": shapes, "whole": whole}))
"""


def train(devices, buckets):
    flags = f"--xla_force_host_platform_device_count={devices}"
    ran = subprocess.run(
        [sys.executable, "-c", TRAIN, *map(str, (devices, buckets, STEPS))],
        env={**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": flags},
        cwd=pathlib.Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.parametrize("buckets", [0, 50])
def test_four_devices_hold_a_quarter_each_and_train_as_one(buckets):
    pytest.importorskip("jax")
    one, four = train(1, buckets), train(DEVICES, buckets)
    assert four["losses"] == pytest.approx(one["losses"], rel=1e-5)
    assert four["losses"][-1] != pytest.approx(four["losses"][0], rel=1e-3)
    tables = [path for path in four["shapes"] if "item_table" in path]
    assert len(tables) == 3  # the table, its moment, and when its rows were touched
    for path, parts in four["shapes"].items():
        rows = 2 * buckets or 400
        shape = four["whole"][path]
        own = [rows // DEVICES, *shape[1:]] if path in tables else shape
        assert parts == [own] * DEVICES, path


def test_it_needs_jax():
    with pytest.raises(ValueError, match="on the JAX backend alone"):
        sharded_item_table(400)
