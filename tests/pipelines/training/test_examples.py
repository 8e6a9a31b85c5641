import numpy as np
import pytest

from pipelines.protocol.splits import split
from pipelines.runtime.errors import InputError
from pipelines.training.examples import TrainingExamples, first_on_its_item

from ..asked_models import asked, windows_of


def test_every_target_comes_once_when_all_windows_are_used(log, config):
    splits = split(log)
    windows = windows_of(splits, config.replace(training_windows="all"))
    seen = [(user, event) for user, start, end in windows for event in range(start + 1, end)]
    expected = [
        (user, event)
        for user in range(log.num_users)
        for event in range(splits.train_starts[user] + 1, splits.train_ends[user])
    ]
    assert sorted(seen) == expected
    assert all(end - start <= config.model.max_length + 1 for _, start, end in windows)


def test_last_windows_are_each_users_newest(log, config):
    splits = split(log)
    windows = windows_of(splits, config)
    lengths = splits.train_ends - splits.train_starts
    assert windows[:, 0].tolist() == np.flatnonzero(lengths >= 2).tolist()
    assert windows[:, 2].tolist() == splits.train_ends[windows[:, 0]].tolist()


def test_an_event_is_the_first_of_its_user_on_its_item(datasets):
    dataset = datasets["make"]([[(1, 1), (2, 1), (1, 3)], [(2, 1), (2, 3), (1, 1)]])
    assert first_on_its_item(dataset).tolist() == [True, True, False, True, False, True]


def test_a_user_who_touched_everything_is_an_error(datasets, config):
    users = [[(1, 3), (2, 3), (1, 3), (2, 3)]]
    with pytest.raises(InputError, match="touched every item"):
        TrainingExamples.of(
            split(datasets["make"](users, num_items=2)), asked(config), config.training
        )


def test_nothing_to_train_on_is_an_error(datasets, config):
    splits = split(datasets["make"]([[(1, 3), (2, 3), (3, 3)]], num_items=9))
    with pytest.raises(InputError, match="two training events"):
        TrainingExamples.of(splits, asked(config), config.training)
