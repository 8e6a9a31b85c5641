"""The search space: what it allows, how it converts values, and what it refuses."""

import json

import keras_tuner
import numpy as np
import pytest

from hmar_keras.schema import Behaviors
from pipelines.runtime.errors import InputError
from pipelines.training.run_config import RunConfig
from pipelines.tuning.oracles import make_oracle
from pipelines.tuning.space import RANGES, Choices, Range, SearchSpace

SHOP = Behaviors(("view", "cart", "buy"), target="buy")


def base(**changes):
    return RunConfig.of(30, SHOP, **changes)


def file_of(tmp_path, content):
    path = tmp_path / "space.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_usual_space_has_all_ranges_and_an_alpha_for_each_behavior():
    names = set(SearchSpace(base()).entries)
    assert names == {*RANGES} - {"alpha"} | {f"alpha.{name}" for name in SHOP.names}


def test_ranges_and_choices_extend_to_the_value_to_begin_with():
    dropout, theta = Range(0.1, 0.6), Range(0.01, 1.0, log=True)
    values = [dropout.including(value) for value in (0.0, 0.3, 0.7)]
    assert values == [Range(0.0, 0.6), dropout, Range(0.1, 0.7)]
    assert theta.including(0.0) == theta  # no logarithmic range begins at 0
    assert Choices((1, 4)).including(2) == Choices((1, 2, 4))


@pytest.mark.parametrize("preset", ["taobao", "tianchi", "yelp", "movielens"])
def test_every_usual_value_of_a_preset_does(preset):
    config = RunConfig.preset(preset, 30, SHOP)
    space = SearchSpace(config)
    hp = keras_tuner.HyperParameters()
    space.declare(hp)
    assert space.config(hp.values) == config  # the search starts there
    rng = np.random.default_rng(0)
    for _ in range(300):
        values = {each.name: each.random_sample(int(rng.integers(1 << 30))) for each in hp.space}
        space.config(values)  # must not raise ValueError


def test_what_a_model_does_not_read_is_not_searched():
    assert "beta" not in SearchSpace(base(loss="sampled_softmax")).entries
    names = SearchSpace(base(model="sasrec")).entries
    assert not {"theta", "num_behavior_blocks", "alpha.buy"} & set(names)


@pytest.mark.usefixtures("hasty_bayesian")
@pytest.mark.parametrize("algorithm", ["random", "bayesian", "hyperband"])
def test_numpy_numbers_become_pythons(algorithm, tmp_path):
    """The Bayesian oracle gives np.float64, which `loss_weights` does not accept."""
    space = SearchSpace.of(base(epochs=4), over=["alpha", "theta", "dim"])
    oracle = make_oracle(algorithm, space, "val_score", 8, seed=0)
    oracle._set_project_dir(tmp_path, "search")
    oracle.verbose = 0
    for number in range(8):
        trial = oracle.create_trial("worker")
        if trial.status != "RUNNING":
            break
        config = space.config(trial.hyperparameters.values)
        model = config.model
        assert type(model.theta) is float and type(model.dim) is int
        assert {type(weight) for weight in model.alpha.values()} == {float}
        assert json.loads(json.dumps(config.to_dict()))["theta"] == model.theta
        oracle.update_trial(trial.trial_id, {"val_score": number / 10})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    assert number >= 3


def test_a_file_gives_ranges_and_names_choose_among_them(tmp_path):
    path = file_of(
        tmp_path,
        {
            "alpha": True,
            "alpha.buy": {"low": 0.5, "high": 2.0},
            "dim": {"choices": [16, 32]},
            "num_negatives": {"low": 1, "high": 9, "step": 2},
        },
    )
    space = SearchSpace.of(base(), path)
    assert space.entries["alpha.view"] == RANGES["alpha"]
    assert space.entries["alpha.buy"] == Range(0.5, 2.0)
    assert space.entries["dim"] == Choices((16, 32))
    assert list(SearchSpace.of(base(), path, ["dim"]).entries) == ["dim"]
    hp = keras_tuner.HyperParameters()
    space.declare(hp)
    assert hp.values["dim"] == 16  # the base's 64 is not among the values
    assert isinstance(hp.values["num_negatives"], int)
    # What a tuning stores is a valid file of a space.
    again = SearchSpace.of(base(), file_of(tmp_path, space.to_dict()))
    assert again.entries == space.entries


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not valid JSON"),
        ([1], "must be a JSON object"),
        ({}, "empty"),
        ({"dims": True}, "no range of dims"),
        ({"epochs": {"low": 1, "high": 3}}, "epochs cannot be searched"),
        ({"holdout": {"choices": ["last", "target"]}}, "holdout cannot be searched"),
        ({"alpha.sell": {"low": 0.1, "high": 1}}, "the behaviours are view, cart, buy"),
        ({"theta": {"low": 1, "high": 0}}, "needs low < high"),
        ({"theta": {"low": 0, "high": 1, "log": True}}, "begin above 0"),
        ({"theta": {"low": "a", "high": 1}}, "must be numbers"),
        ({"theta": {"from": 0, "to": 1}}, "must be true, have low and high"),
        ({"theta": [0, 1]}, "must be true, have low and high"),
        ({"theta": {"low": -1, "high": 1}}, "theta must be at least 0"),
        ({"dropout": {"low": 0, "high": 1}}, "dropout must be less than 1"),
        ({"dim": {"low": 8, "high": 9.5}}, "dim must be a whole number"),
        ({"loss": {"choices": ["bce", "mse"]}}, "loss must be one of"),
        ({"indicators": {"choices": [True, 1]}}, "must all be numbers"),
        ({"dropout": {"choices": [0.1, None]}}, "must all be numbers"),
        ({"dim": {"choices": [30]}, "num_heads": {"choices": [4]}}, "not divide dim 30"),
    ],
)
def test_a_file_that_will_not_do_is_one_sentence(tmp_path, content, words):
    with pytest.raises(InputError, match=words):
        SearchSpace.of(base(), file_of(tmp_path, content))


def test_a_missing_file_and_a_name_without_a_range_are_said(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        SearchSpace.of(base(), tmp_path / "none.json")
    with pytest.raises(InputError, match="no range of indicators"):
        SearchSpace.of(base(), over=["indicators"])


def test_whole_and_broken_choices_mix_and_booleans_come_back_as_such(tmp_path):
    content = {"dropout": {"choices": [0, 0.1]}, "indicators": {"choices": [True, False]}}
    space = SearchSpace.of(base(), file_of(tmp_path, content))
    hp = keras_tuner.HyperParameters()
    space.declare(hp)
    assert space.entries["dropout"].choices == (0.0, 0.1)
    # KerasTuner's messages between processes represent booleans as 0 and 1.
    values = space.values({"dropout": 0, "indicators": 1, "theta": 3})
    assert repr(values) == "{'dropout': 0.0, 'indicators': True}"
    assert [space.entries[name].place(value) for name, value in values.items()] == [0, 0]


def test_axes_of_whole_numbers_have_whole_ticks_where_they_belong():
    assert Range(1, 4, 1).ticks() == pytest.approx({0: 1, 1 / 3: 2, 1: 4})
    assert Range(25, 200, 1).ticks() == pytest.approx({0: 25, 87 / 175: 112, 1: 200})
