"""Small logs, and ways to run the command, for all tests of the pipelines."""

import contextlib
import io
import os
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest

from hmar_keras.schema import Behaviors
from pipelines.cli.app import main
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.training.run_config import RunConfig

from .commands import Finished

SHOP = Behaviors(("view", "cart", "buy"), target="buy")


def make_dataset(events, held_out=None, num_items=None, repeats=True):
    """Makes a dataset of `events[user]`, each a list of (item id, behaviour id), oldest first."""
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
    """Makes a dataset of random events in which most users can be evaluated."""
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
    """Returns a random log of 40 users and 30 items."""
    return random_dataset(0)


@pytest.fixture
def config():
    """Returns a configuration small enough to train in a second."""
    return RunConfig.of(30, SHOP, dim=8, max_length=6, batch_size=16, epochs=3)


@pytest.fixture(scope="session")
def datasets():
    """Returns the functions above that make logs."""
    return {"make": make_dataset, "random": random_dataset}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Returns the directory in which all commands run."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def hmar(home):
    """Returns a function that runs `hmar` in this process."""

    def call(*arguments, **extra):
        environment = {"HMAR_CACHE": str(home / "cache"), "COLUMNS": "100", **extra}
        stdout, stderr, status = io.StringIO(), io.StringIO(), 0
        with (
            contextlib.chdir(home),
            mock.patch.dict(os.environ, environment),
            mock.patch.object(sys, "argv", ["hmar", *map(str, arguments)]),
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
        ):
            try:
                main()
            except SystemExit as end:
                status = end.code or 0
        return Finished(status, stdout.getvalue(), stderr.getvalue())

    call.home = home
    return call


@pytest.fixture(scope="module")
def fresh_hmar(home):
    """Returns a function that runs `hmar` in a new process."""
    environment = {**os.environ, "HMAR_CACHE": str(home / "cache"), "COLUMNS": "100"}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)

    def call(*arguments):
        command = [sys.executable, "-c", "from pipelines.cli.app import main; main()"]
        return subprocess.run(
            [*command, *map(str, arguments)],
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,
        )

    return call
