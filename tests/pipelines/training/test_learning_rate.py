"""The learning rate follows its schedule, also after an interruption."""

import math

import numpy as np
import pytest

from pipelines.protocol.splits import split
from pipelines.training import fit as training
from pipelines.training.run_directory import RunDirectory


def test_closed_forms(config):
    constant = config.replace(learning_rate=0.3)
    assert [training.learning_rate(constant.training, epoch) for epoch in range(3)] == [0.3] * 3
    cosine = config.replace(learning_rate=0.4, learning_rate_schedule="cosine", epochs=4)
    rates = [training.learning_rate(cosine.training, epoch) for epoch in range(5)]
    root = math.sqrt(2)
    np.testing.assert_allclose(
        rates, [0.4, 0.1 * (2 + root), 0.2, 0.1 * (2 - root), 0.0], atol=1e-12
    )


@pytest.mark.slow
@pytest.mark.parametrize("model", ["hmar", "sasrec"])
def test_a_resumed_training_goes_on_at_its_rate(model, log, config, tmp_path, monkeypatch):
    config = config.replace(
        model=model, epochs=4, learning_rate_schedule="cosine", item_start="cooccurrence"
    )
    monkeypatch.setattr(RunDirectory, "keep_checkpoints", lambda *_: None)
    run = RunDirectory.create(tmp_path / "run", {}, config)
    training.train(split(log), config, run, seed=0)
    whole = run.history()

    # The state after the second epoch.
    run.write_json("history.json", whole[:2])
    run.checkpoint(4).unlink()
    training.train(split(log), config, run, seed=0)
    again = run.history()
    drop = {"seconds"}
    assert [{k: v for k, v in e.items() if k not in drop} for e in again] == [
        {k: v for k, v in e.items() if k not in drop} for e in whole
    ]


@pytest.mark.slow
def test_the_rate_matters_to_training(log, config, tmp_path):
    """The first epoch is the same; the others differ."""
    histories = []
    for schedule in ("constant", "cosine"):
        changed = config.replace(learning_rate_schedule=schedule, learning_rate=0.01)
        run = RunDirectory.create(tmp_path / schedule, {}, changed)
        training.train(split(log), changed, run, seed=0)
        histories.append([entry["loss"] for entry in run.history()])
    assert histories[0][0] == histories[1][0]
    assert histories[0][1] != histories[1][1]
