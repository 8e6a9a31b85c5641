"""HMAR with KerasTuner's own tuners, as in a script."""

import json

import keras
import keras_tuner
import pytest

from pipelines.protocol.splits import split
from pipelines.training.host_batches import TrainingData, evaluation_dataset
from pipelines.training.run_config import RunConfig
from pipelines.tuning import HMARHyperModel, SearchSpace
from pipelines.tuning.space import Choices, Range


@pytest.fixture(scope="module")
def splits(log):
    return split(log)


@pytest.fixture(scope="module")
def base(log):
    return RunConfig.of(
        log.num_items, log.behaviors, dim=4, max_length=6, num_behavior_blocks=0, epochs=1
    )


@pytest.mark.slow
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
    assert best.model.theta in {trial.hyperparameters.values["theta"] for trial in trials}


@pytest.mark.slow
def test_fit_stops_early_and_goes_on_where_another_trial_ended(splits, base):
    hypermodel = HMARHyperModel(splits, SearchSpace.of(base.replace(patience=1), over=["theta"]))
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    history = hypermodel.fit(hp, model, epochs=30)
    scores = history.history["val_score"]
    assert len(scores) < 30 and scores[-1] <= max(scores[:-1])
    more = hypermodel.fit(hp, model, epochs=12, initial_epoch=11)
    assert more.epoch == [11]


@pytest.mark.slow
@pytest.mark.usefixtures("hasty_bayesian")
def test_values_of_the_bayesian_oracle_become_numbers_that_keras_takes(splits, base, tmp_path):
    """It gives NumPy numbers, which `loss_weights` and JSON refuse."""
    hypermodel = HMARHyperModel(splits, SearchSpace.of(base, over=["alpha", "theta", "beta"]))
    tuner = keras_tuner.BayesianOptimization(
        hypermodel,
        keras_tuner.Objective("val_score", "max"),
        max_trials=3,
        num_initial_points=2,
        directory=tmp_path,
    )
    tuner.search(verbose=0)
    for trial in tuner.oracle.trials.values():
        assert trial.status == "COMPLETED", trial.message
        config = hypermodel.config(trial.hyperparameters)
        model = config.model
        assert {type(x) for x in (model.theta, model.beta, *model.alpha.values())} == {float}
        assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.slow
def test_a_tuner_writes_what_tensorboard_shows(splits, base, tmp_path):
    """KerasTuner needs the `tensorboard` package for it, which the project depends on too."""
    tuner = keras_tuner.RandomSearch(
        HMARHyperModel(splits, SearchSpace.of(base, over=["theta"])),
        keras_tuner.Objective("val_score", "max"),
        max_trials=1,
        directory=tmp_path / "search",
    )
    tuner.search(verbose=0, callbacks=[keras.callbacks.TensorBoard(tmp_path / "board")])
    events = list((tmp_path / "board").rglob("events.out.tfevents.*"))
    assert any(b"theta" in path.read_bytes() for path in events)


@pytest.mark.slow
def test_keras_names_the_metrics_by_output(splits, base):
    """If `fit` itself validates, their names are `val_<output>_<metric>`."""
    hypermodel = HMARHyperModel(splits, SearchSpace.of(base, over=["theta"]))
    model = hypermodel.build(keras_tuner.HyperParameters())
    data = TrainingData(splits, model, base.training, seed=0)
    history = model.fit(
        data.dataset(),
        steps_per_epoch=data.steps_per_epoch,
        validation_data=evaluation_dataset(splits, splits.validation, model, 128, seed=0),
        shuffle=False,
        verbose=0,
    ).history
    assert {"val_ranking_ndcg@10", "val_ranking_hr@10", "val_behavior_accuracy"} <= set(history)
    # The metrics belong to the right outputs.
    assert history["val_ranking_hr@10"] >= history["val_ranking_ndcg@10"]
