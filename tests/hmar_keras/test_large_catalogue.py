"""Training on a large catalogue holds the table, its moment, and no copy of either."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import pytest

pytestmark = pytest.mark.process

ITEMS, DIM = 2_000_000, 32
TABLE = ITEMS * DIM * 4
# For tracing a second model and the threads' arenas; a copy of the table takes more.
ALLOWANCE = 0.7 * TABLE
TRAIN = """
import json, os, sys
import numpy as np
from hmar_keras import HMAR, Behaviors, HMARConfig, compile_arguments

def train(items, dim, buckets):
    behaviors = Behaviors(("view", "buy"), "buy")
    config = HMARConfig(items, behaviors, dim=dim, max_length=8, item_buckets=buckets)
    model = HMAR(config)
    model.compile(**compile_arguments(model), jit_compile=False)
    # Built in the first step, as Keras does by default, the moment takes one more table.
    model.optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(0)
    for _ in range(3):
        ids = rng.integers(1, items + 1, (3, 16, 8)).astype("int32")
        behaviors = rng.integers(1, 3, (2, 16, 8)).astype("int32")
        inputs = {"item_ids": ids[0], "behavior_ids": behaviors[0]}
        inputs["candidate_ids"] = ids[1:].transpose(1, 2, 0)
        model.train_on_batch(inputs, {"ranking": behaviors[1], "behavior": behaviors[1]})
        model.predict_on_batch(inputs)

items, dim, buckets = map(int, sys.argv[1:])
train(100, dim, 0)  # the memory of any training
with open("/proc/self/statm") as file:
    before = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
train(items, dim, buckets)
# Not getrusage's peak, which begins with what the parent process held when it forked.
with open("/proc/self/status") as file:
    peak = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
print(json.dumps(peak - before))
"""


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow" or not sys.platform.startswith("linux"),
    reason="needs TensorFlow for row-wise updates and Linux to read memory use",
)
@pytest.mark.parametrize("buckets", [0, ITEMS // 20])
def test_training_holds_the_table_and_its_moment_and_no_copy(buckets):
    ran = subprocess.run(
        [sys.executable, "-c", TRAIN, *map(str, (ITEMS, DIM, buckets))],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=pathlib.Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    table = 2 * buckets * DIM * 4 or TABLE
    # Drawing a table takes the memory of two more, which the process keeps; the moment reuses one.
    assert json.loads(ran.stdout.splitlines()[-1]) < 3 * table + ALLOWANCE
