"""Default settings follow from what a log is like, never from its name."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from hmar_keras import HMARConfig, TrainingConfig
from pipelines.datasets import DATASETS
from pipelines.workflow.defaults import default_settings
from pipelines.workflow.settings import build_config

TRAINING_PAGE = Path(__file__).parents[3] / "docs/pages/training.md"


@pytest.fixture
def of_lengths(datasets):
    """Returns a function that makes a dataset of users with the given numbers of events."""

    def make(lengths, **more):
        users = [[(1 + n % 5, 1 + n % 3) for n in range(length)] for length in lengths]
        return dataclasses.replace(datasets["make"](users, num_items=5), **more)

    return make


@pytest.mark.parametrize("name", [*DATASETS, "log", "movielens/1m", "anything"])
def test_the_name_decides_nothing(log, name):
    assert build_config(dataclasses.replace(log, name=name)) == build_config(log)


def test_all_are_settings_and_all_are_used(log):
    defaults = default_settings(log)
    assert defaults.keys() <= {*HMARConfig.names(), *TrainingConfig.names()}
    settings = build_config(log).to_dict()
    assert {name: settings[name] for name in defaults} == {
        name: each.value for name, each in defaults.items()
    }


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([3] * 10, 50),
        ([72] * 9 + [500], 120),  # between 72 and 500, as np.percentile interpolates
        ([72] * 95 + [500] * 5, 80),
        ([70] * 20, 70),
        ([900] * 20, 200),
    ],
)
def test_max_length_holds_nine_in_ten_histories(of_lengths, lengths, expected):
    defaults = default_settings(of_lengths(lengths))
    assert defaults["max_length"].value == expected
    longest = sorted(lengths)[int(0.9 * (len(lengths) - 1))]
    assert expected >= min(longest, 200)


@pytest.mark.parametrize(
    ("users", "epochs", "patience"),
    [(10, 40, 10), (2_000, 40, 10), (6_040, 13, 3), (15_449, 5, 2), (300_000, 2, 2)],
)
def test_epochs_are_few_minutes_of_steps(of_lengths, users, epochs, patience):
    dataset = of_lengths([3])
    offsets = np.arange(users + 1) * 3
    dataset = dataclasses.replace(
        dataset,
        users=np.arange(users).astype(str),
        offsets=offsets,
        item_ids=np.resize(dataset.item_ids, offsets[-1]),
        behavior_ids=np.resize(dataset.behavior_ids, offsets[-1]),
        timestamps=np.resize(dataset.timestamps, offsets[-1]),
    )
    found = default_settings(dataset)
    assert (found["epochs"].value, found["patience"].value) == (epochs, patience)


def test_users_with_a_single_event_are_no_windows(of_lengths):
    some, more = of_lengths([4] * 2_000), of_lengths([4] * 2_000 + [1] * 4_000)
    assert default_settings(some)["epochs"] == default_settings(more)["epochs"]


def test_a_list_of_new_items_from_anywhere_decides_labels_and_order(log):
    listed = default_settings(dataclasses.replace(log, held_out_anywhere=True))
    assert listed["labels"].value == "new_items"
    assert listed["training_order"].value == "random"
    assert {"labels", "training_order"} == listed.keys() - default_settings(log).keys()


def test_the_documentation_has_all_rules(log):
    """The table names each setting, and the values that are the same for all logs."""
    text = TRAINING_PAGE.read_text(encoding="utf-8")
    section = text.split("## Default settings")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, re.MULTILINE))
    defaults = default_settings(dataclasses.replace(log, held_out_anywhere=True))
    assert rows.keys() == defaults.keys()
    for name in rows.keys() - {"max_length", "epochs", "patience"}:
        value = defaults[name].value
        assert rows[name].strip(" `") == (str(value).lower() if value is True else str(value))
