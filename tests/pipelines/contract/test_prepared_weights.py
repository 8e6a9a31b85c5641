"""What a model takes from the log depends only on the training events."""

import dataclasses

import keras
import numpy as np
import pytest

from hmar_keras.models import MODELS
from pipelines.protocol.splits import split
from pipelines.runtime.own_models import import_chosen_files
from pipelines.training.fit import prepare
from pipelines.training.run_config import RunConfig
from pipelines.training.training_log import SplitLog

from .test_own_model_everywhere import FILE

# Everything that a model can take.
EVERYTHING = {"item_start": "cooccurrence", "memory": True}
EVERYTHING |= {"loss": "sampled_softmax", "shared_negatives": True}  # which a memory needs
NAMES = ["hmar", "sasrec", "taste"]


@pytest.fixture(scope="module", autouse=True)
def registered():
    before = dict(MODELS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HMAR_IMPORT", str(FILE))
        import_chosen_files()
        if "taste" not in MODELS:  # another test has imported and unregistered it
            from .taste import Taste

            MODELS["taste"] = Taste
    yield
    MODELS.clear()
    MODELS.update(before)


def prepared(splits, name, events):
    """Returns all weights of a model before its first step."""
    settings = MODELS[name].Settings.names()
    config = RunConfig.of(splits.dataset.num_items, splits.dataset.behaviors, model=name, dim=4)
    changes = {each: EVERYTHING[each] for each in EVERYTHING if each in settings}
    if "num_users" in settings:
        changes["num_users"] = splits.dataset.num_users
    keras.utils.set_random_seed(0)
    model = config.replace(**changes, max_length=6, input_behaviors=events).build_model()
    before = model.get_weights()
    prepare(model, splits)
    assert any(not np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))
    return model.get_weights()


def perturbed(splits, where, seed=1):
    """Returns the dataset with different items, behaviours and times for some events."""
    rng, dataset = np.random.default_rng(seed), splits.dataset
    count = np.count_nonzero(where)

    def with_others(values, others):
        values = values.copy()
        values[where] = others.astype(values.dtype)
        return values

    return dataclasses.replace(
        dataset,
        item_ids=with_others(dataset.item_ids, rng.integers(1, dataset.num_items + 1, count)),
        # Target events stay target events, because those decide what is held out.
        behavior_ids=with_others(
            dataset.behavior_ids,
            np.where(dataset.behavior_ids[where] == 3, 3, 3 - dataset.behavior_ids[where]),
        ),
        timestamps=with_others(dataset.timestamps, rng.integers(0, 9, count)),
    )


@pytest.mark.slow
@pytest.mark.parametrize("events", ["all", "target"])
@pytest.mark.parametrize("name", NAMES)
def test_held_out_events_cannot_reach_them(log, name, events):
    splits = split(log)
    held_out = ~splits.training_events()
    other = split(perturbed(splits, held_out))
    assert not np.array_equal(other.dataset.item_ids, log.item_ids)
    np.testing.assert_array_equal(other.train_ends, splits.train_ends)
    expected = prepared(splits, name, events)
    for one, same in zip(expected, prepared(other, name, events), strict=True):
        np.testing.assert_array_equal(one, same)
    # Training events do change the weights; otherwise the test would show nothing.
    third = split(perturbed(splits, ~held_out))
    moved = prepared(third, name, events)
    assert any(not np.array_equal(*pair) for pair in zip(expected, moved, strict=True))


@pytest.mark.parametrize("events", ["all", "target"])
def test_the_log_is_the_training_events(log, events):
    splits = split(log)
    seen = SplitLog(splits, events)
    trained = splits.training_events()
    if events == "target":
        trained &= log.behavior_ids == log.behaviors.target_id
    users = np.repeat(np.arange(log.num_users), np.diff(log.offsets)) + 1
    np.testing.assert_array_equal(seen.user_ids, users[trained])
    for name in ("item_ids", "behavior_ids", "timestamps"):
        np.testing.assert_array_equal(getattr(seen, name), getattr(log, name)[trained])
    assert (seen.num_users, seen.num_items) == (log.num_users, log.num_items)
    assert seen.behaviors == log.behaviors
    counts = np.bincount(seen.item_ids[seen.behavior_ids == 3], minlength=log.num_items + 1)
    assert np.argmax(seen.popularity()) in np.flatnonzero(counts == counts.max())
