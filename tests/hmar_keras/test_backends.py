"""Models saved under one Keras backend load under another."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from layer_checks import randomize
from reference_model import assert_close, call, make_config, random_batch

from hmar_keras import HMAR

HERE = pathlib.Path(__file__).parent

pytestmark = [
    pytest.mark.backends,
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow", reason="the other backends are started from here"
    ),
]

LOAD = """
import json
import sys
import keras
import numpy as np
sys.path.append(sys.argv[1])
from reference_model import call
from hmar_keras import HMAR
folder = sys.argv[2]
batch = dict(np.load(f"{folder}/batch.npz"))
with open(f"{folder}/config.json") as file:
    refilled = HMAR(json.load(file))
refilled.load_weights(f"{folder}/model.weights.h5")
loaded = keras.saving.load_model(f"{folder}/model.keras")
for name, model in (("loaded", loaded), ("refilled", refilled)):
    scores = keras.ops.convert_to_numpy(model.score_catalog(batch))
    np.savez(f"{folder}/{name}.npz", catalog=scores[:, 1:], **call(model, batch))
print(keras.backend.backend())
"""


def start(backend, *arguments):
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        cwd=HERE.parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_models_saved_here_load_there(tmp_path, backend):
    pytest.importorskip(backend)
    config = make_config(
        3,
        **{"num_heads": 2, "num_behavior_blocks": 2, "num_sequence_blocks": 2},
        variant="release",
    )
    model = HMAR(config)
    randomize(model)
    batch = random_batch(np.random.default_rng(0), config)
    expected = call(model, batch)
    catalog = model.score_catalog(batch)
    expected["catalog"] = keras.ops.convert_to_numpy(catalog)[:, 1:]
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    np.savez(tmp_path / "batch.npz", **batch)
    process = start(backend, "-c", LOAD, str(HERE), str(tmp_path))
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert output.split()[-1] == backend
    for name in ("loaded", "refilled"):
        actual = np.load(tmp_path / f"{name}.npz")
        for key, value in expected.items():
            assert_close(actual[key], value)
