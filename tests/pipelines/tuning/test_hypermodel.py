"""HMAR under KerasTuner's own tuners, as a script uses it."""

import keras_tuner
import pytest

from hmar_keras.config import HMARConfig
from pipelines.splits import split
from pipelines.tuning import HMARHyperModel, SearchSpace
from pipelines.tuning.space import Choices, Range


@pytest.fixture(scope="module")
def splits(log):
    return split(log)


@pytest.fixture(scope="module")
def base(log):
    return HMARConfig(
        log.num_items, log.behaviors, dim=4, max_length=6, num_behavior_blocks=0, epochs=1
    )


def test_a_stock_tuner_searches(splits, base, tmp_path):
    space = SearchSpace(
        base,
        {
            "alpha": Range(0.1, 1.0),
            "theta": Range(0.0, 0.5),
            "batch_size": Choices((8, 16)),
            "max_length": Choices((4, 6)),
        },
    )
    hypermodel = HMARHyperModel(splits, space)
    objective = keras_tuner.Objective("val_score", "max")
    tuner = keras_tuner.RandomSearch(
        hypermodel, objective, max_trials=3, seed=1, directory=tmp_path
    )
    tuner.search(verbose=0)
    trials = tuner.oracle.trials.values()
    assert [trial.status for trial in trials] == ["COMPLETED"] * 3
    best = hypermodel.config(tuner.get_best_hyperparameters()[0])
    assert best.theta in {trial.hyperparameters.values["theta"] for trial in trials}


def test_fit_stops_early_and_goes_on_where_another_trial_ended(splits, base):
    hypermodel = HMARHyperModel(splits, SearchSpace.of(base.replace(patience=1), over=["theta"]))
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    history = hypermodel.fit(hp, model, epochs=30)
    scores = history.history["val_score"]
    assert len(scores) < 30 and scores[-1] <= max(scores[:-1])
    more = hypermodel.fit(hp, model, epochs=12, initial_epoch=11)
    assert more.epoch == [11]
