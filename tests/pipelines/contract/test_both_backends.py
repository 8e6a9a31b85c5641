"""Every model meets the same contract on TensorFlow and JAX: trains, resumes, is evaluated."""

import json

import numpy as np
import pytest

from pipelines.training.run_directory import RunDirectory

from ..runs import last_state, without_times
from ..training.fresh_training import Plan, train_elsewhere
from .test_own_model_everywhere import FILE

pytestmark = pytest.mark.backends

SMALL = {"dim": 8, "max_length": 6, "epochs": 3, "batch_size": 16, "dropout": 0.2}
SMALL["learning_rate"] = 0.03
SOFTMAX = {"shared_negatives": True, "num_negatives": 5, "loss": "sampled_softmax"}
MODELS = {
    "hmar": {**SOFTMAX, "memory": True, "item_start": "cooccurrence"},
    "sasrec": SOFTMAX,
    "taste": {"num_users": 40, "contrast": 0.4},
}
OUTPUTS = {
    "hmar": {"ranking", "network", "behavior"},
    "sasrec": {"ranking"},
    "taste": {"ranking", "behavior", "contrast"},
}


@pytest.fixture(scope="module", params=["tensorflow", "jax"])
def home(request, tmp_path_factory, log):
    """Trains and resumes all models in a process with the backend; returns their directory."""
    pytest.importorskip(request.param)
    home = tmp_path_factory.mktemp(request.param)
    behaviors = {"names": list(log.behaviors.names), "target": log.behaviors.target}
    of_log = {"num_items": log.num_items, "behaviors": behaviors}
    runs = [
        (home / name, {**of_log, **SMALL, **settings, "model": name})
        for name, settings in MODELS.items()
    ]
    resumed = {path: home / f"{path.name}-resumed" for path, _ in runs}
    train_elsewhere(home / "plan", request.param, Plan(log, {}, runs, resumed, [FILE]))
    return home


@pytest.mark.parametrize("name", MODELS)
def test_it_trains_on_all_its_losses_and_answers(home, name):
    history = RunDirectory(home / name).history()
    losses = {key.removesuffix("_loss") for key in history[-1] if key.endswith("_loss")}
    assert losses - {"event"} == OUTPUTS[name]
    assert len(history) == 3 and history[-1]["loss"] < history[0]["loss"]
    results = json.loads((home / name / "results.json").read_text())
    assert all(0 < results[protocol]["hr@10"] <= 1 for protocol in ("sampled", "full"))


@pytest.mark.parametrize("name", MODELS)
def test_it_resumes_bit_for_bit(home, name):
    whole, resumed = RunDirectory(home / name), RunDirectory(home / f"{name}-resumed")
    assert without_times(whole) == without_times(resumed)
    states = last_state(whole), last_state(resumed)
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][key])
