"""Settings are a flat list in files, and each has one owner."""

import json

import pytest

from hmar_keras import HMARConfig, SASRecConfig, TrainingConfig
from hmar_keras.models import HMAR, SASRec
from hmar_keras.schema import Behaviors
from pipelines.protocol.splits import SplitConfig
from pipelines.training.run_config import RunConfig, owners

SHOP = Behaviors(("view", "cart", "buy"), target="buy")
# Written by an earlier version for every model: one class had all settings.
EARLIER = {
    "num_items": 30, "behaviors": {"names": ["view", "cart", "buy"], "target": "buy"},
    "model": "sasrec", "input_behaviors": "target", "holdout": "target", "dim": 8, "max_length": 6,
    "num_heads": 1, "num_behavior_blocks": 1, "num_sequence_blocks": 2, "dropout": 0.2,
    "indicators": True, "variant": "paper", "num_neighbors": 0, "neighbor_weight": 1.0,
    "item_buckets": 0, "item_start": "random", "loss": "bce", "gbce_calibration": 0.75,
    "alpha": {"view": 1.0, "cart": 1.0, "buy": 1.0}, "beta": 1.0, "theta": 0.1,
    "num_negatives": 1, "shared_negatives": False, "labels": "all", "training_windows": "last",
    "training_order": "time", "optimizer": "lazy_adam", "learning_rate": 0.001,
    "learning_rate_schedule": "constant", "adam_beta_2": 0.98, "batching": "by_length",
    "batch_size": 16, "epochs": 3, "patience": 10,
}  # fmt: skip


@pytest.mark.parametrize("name", ["hmar", "sasrec"])
def test_every_setting_has_one_owner_and_comes_back(name):
    config = RunConfig.of(30, SHOP, model=name, dim=8, epochs=3, holdout="last")
    names = [each for owner in owners(name).values() for each in owner.names()]
    assert len(names) == len(set(names)) and "model" not in names
    assert (config.model.dim, config.training.epochs, config.split.holdout) == (8, 3, "last")
    settings = json.loads(json.dumps(config.to_dict()))
    assert set(settings) == {"model", *names}
    assert RunConfig.from_dict(settings) == config
    assert config.replace(patience=3).training == config.training.replace(patience=3)


def test_owners_are_the_models_own_class():
    assert owners("hmar") == {"model": HMARConfig, "training": TrainingConfig, "split": SplitConfig}
    assert owners("sasrec")["model"] is SASRecConfig
    assert type(RunConfig.of(30, SHOP, dim=8).build_model()) is HMAR
    assert type(RunConfig.of(30, SHOP, model="sasrec", dim=8).build_model()) is SASRec


def test_another_model_keeps_what_both_have():
    config = RunConfig.of(30, SHOP, dim=8, theta=0.4, num_sequence_blocks=3, epochs=3)
    changed = config.replace(model="sasrec")
    assert (changed.name, changed.model.dim, changed.model.num_sequence_blocks) == ("sasrec", 8, 3)
    assert changed.training == config.training
    assert changed.replace(model="hmar").model.theta == 0.1  # the default again


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rat": 0.1}, "unknown setting 'learning_rat'; did you mean learning_rate"),
        ({"num_neighbors": 0}, "setting 'num_neighbors' no longer exists; use 'memory' instead"),
        ({"holdouts": "last"}, "unknown setting 'holdouts'; did you mean holdout"),
        ({"model": "sasrec", "theta": 0.1}, "'theta' is a setting of hmar, not of sasrec; leave"),
        ({"model": "caser"}, "model must be one of hmar, sasrec"),
        ({"holdout": "first"}, "holdout must be one of target, last"),
        ({"epochs": 0}, "epochs must be greater than 0"),
    ],
)
def test_what_is_wrong_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        RunConfig.of(30, SHOP).replace(**changes)


def test_what_one_class_wrote_is_read():
    config = RunConfig.from_dict(EARLIER)
    settings = {
        "dim": 8,
        "max_length": 6,
        "input_behaviors": "target",
        "batch_size": 16,
        "epochs": 3,
    }
    assert config == RunConfig.of(30, SHOP, model="sasrec", **settings)
    # They are kept for a model that has them.
    hmar = RunConfig.from_dict({**EARLIER, "model": "hmar", "theta": 0.4})
    assert hmar.model.theta == 0.4
    assert not hmar.model.memory
    with pytest.raises(ValueError, match="num_neighbors=50 comes from an earlier version"):
        RunConfig.from_dict({**EARLIER, "num_neighbors": 50})
    # An unknown name is an error in those files too.
    with pytest.raises(ValueError, match="unknown setting 'tehta'; did you mean theta"):
        RunConfig.from_dict({**EARLIER, "model": "hmar", "tehta": 0.4})


def test_presets_set_the_model_and_its_training():
    config = RunConfig.preset("gsasrec", 30, SHOP, dim=16)
    assert (config.name, config.model.loss, config.model.dim) == ("sasrec", "gbce", 16)
    config = RunConfig.preset("yelp", 30, SHOP)
    assert (config.model.max_length, config.training.learning_rate) == (170, 7e-4)
    with pytest.raises(ValueError, match="unknown preset 'netflix'"):
        RunConfig.preset("netflix", 30, SHOP)
