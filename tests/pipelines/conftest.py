"""Small logs that the tests of the pipelines share."""

import numpy as np
import pytest

from hmar_keras.config import HMARConfig
from hmar_keras.schema import Behaviors
from pipelines.datasets.interaction_dataset import InteractionDataset

SHOP = Behaviors(("view", "cart", "buy"), target="buy")


def make_dataset(events, held_out=None, num_items=None, repeats=True):
    """A dataset of `events[user]`, each a list of (item id, behaviour id), oldest first."""
    flat = [pair for user in events for pair in user]
    lengths = [len(user) for user in events]
    num_items = num_items or max((item for item, _ in flat), default=1)
    return InteractionDataset(
        name="test_log",
        behaviors=SHOP,
        repeats=repeats,
        users=np.array([f"u{row}" for row in range(len(events))]),
        items=np.array([f"i{item}" for item in range(1, num_items + 1)]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        item_ids=np.array([item for item, _ in flat], np.int32),
        behavior_ids=np.array([behavior for _, behavior in flat], np.int32),
        timestamps=np.arange(len(flat)),
        held_out_items=np.array(held_out or [0] * len(events), np.int32),
    )


def random_dataset(seed, num_users=40, num_items=30, longest=25):
    """A dataset of random events in which most users can be evaluated."""
    rng = np.random.default_rng(seed)
    events = [
        [
            (int(rng.integers(1, num_items + 1)), int(rng.integers(1, 4)))
            for _ in range(rng.integers(1, longest))
        ]
        for _ in range(num_users)
    ]
    return make_dataset(events, num_items=num_items)


@pytest.fixture(scope="session")
def log():
    """A random log of 40 users and 30 items."""
    return random_dataset(0)


@pytest.fixture
def config():
    """A model small enough to train in a second."""
    return HMARConfig(30, SHOP, dim=8, max_length=6, batch_size=16, epochs=3)


@pytest.fixture(scope="session")
def datasets():
    """The makers of logs above."""
    return {"make": make_dataset, "random": random_dataset}
