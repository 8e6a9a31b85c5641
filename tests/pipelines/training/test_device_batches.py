"""Training with batches made on the device, under JAX, in new processes."""

import numpy as np
import pytest

from pipelines.protocol.splits import split
from pipelines.runtime.errors import InputError
from pipelines.training.run_config import RunConfig
from pipelines.training.run_directory import RunDirectory

from ..asked_models import data_of
from ..runs import last_state, without_times
from .fresh_training import Plan, train_elsewhere

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def runs(tmp_path_factory, log):
    """Trains three ways: fed by the host, on the device, and there in executions of 4 steps.

    The last run is also resumed after its first epoch; a fourth run learns nothing.
    """
    pytest.importorskip("jax")
    config = RunConfig.of(
        log.num_items, log.behaviors, dim=8, max_length=6, batch_size=9, epochs=3
    ).replace(learning_rate=0.02, dropout=0.3)
    ways = {
        "host": {},
        "device": {"data_on_device": True},
        "executions": {"data_on_device": True, "steps_per_execution": 4},
    }
    found = {}
    for name, hardware in ways.items():
        home = tmp_path_factory.mktemp(name)
        resumed = home / "resumed" if name == "executions" else None
        trainings = [(home / "run", config.to_dict())]
        if resumed:
            still = config.replace(learning_rate=1e-12, dropout=0.0)
            trainings.insert(0, (home / "still", still.to_dict()))
            found["still"] = RunDirectory(home / "still")
        copies = {home / "run": resumed} if resumed else {}
        plan = Plan(log, hardware, trainings, copies)
        train_elsewhere(home / "plan", "jax", plan)
        found[name] = RunDirectory(home / "run")
    return {**found, "resumed": RunDirectory(resumed)}


def test_only_the_draw_is_another(runs):
    host, device = (without_times(runs[name]) for name in ("host", "device"))
    assert len(host) == len(device) == 3
    assert host != device
    for one, two in zip(host, device, strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=0.1)
    assert device[-1]["loss"] < device[0]["loss"] - 0.02


def test_steps_per_execution_change_nothing(runs):
    for one, two in zip(*(without_times(runs[n]) for n in ("device", "executions")), strict=True):
        assert one == pytest.approx(two, rel=1e-5, abs=1e-5)


def test_resuming_is_exact(runs):
    whole, resumed = runs["executions"], runs["resumed"]
    assert without_times(whole) == without_times(resumed)
    state, state_again = last_state(whole), last_state(resumed)
    assert [name for name in state if not np.array_equal(state[name], state_again[name])] == []


def test_every_epoch_of_fit_has_its_own_negatives(runs):
    """Without learning and dropout, losses differ only if the negatives do."""
    losses = [entry["loss"] for entry in runs["still"].history()]
    assert len(set(losses)) == 3
    assert max(losses) - min(losses) > 1e-4


def test_a_log_too_large_for_the_device_is_an_error(monkeypatch, log, config):
    jax = pytest.importorskip("jax")
    from pipelines.training import device_batches

    def full(arrays):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(jax, "device_put", full)
        with pytest.raises(InputError, match=r"0\.0 GiB on the device; .*--no-data-on-device"):
            data_of(device_batches.DeviceBatches, split(log), config)
    monkeypatch.setattr(device_batches, "_MOST_EVENTS", log.num_events - 1)
    with pytest.raises(InputError, match=r"more than .* events; .*--no-data-on-device"):
        data_of(device_batches.DeviceBatches, split(log), config)
