"""Small finished runs, shared by the tests of the reports."""

import csv
import os
from unittest import mock

import numpy as np
import pytest

from pipelines.datasets.event_log import LogSpec
from pipelines.report.opened_run import open_run
from pipelines.report.run_report import run_report
from pipelines.workflow import runs as workflow
from pipelines.workflow.request import Request

SMALL = ("dim=8", "max_length=8", "num_heads=2", "num_behavior_blocks=2")
USERS = [
    f"<b>{'Ann' * 15}</b>",
    'O\'Brien & "Söhne"',
    "😀 日本",
    "</script>",
    "$x$",
    "\u202eabc",
    "x" * 90,
]
ITEMS = ["<img src=x onerror=alert(1)>", "a & b", "🎉", "{{ 7 * 7 }}", "naïve", "&lt;", "-->"]
BEHAVIORS = ("look & <see>", 'buy "now"')


def train(directory, **request):
    """Trains a run for an epoch or two and returns its path."""
    request = Request(assignments=SMALL, **request)
    run, dataset = workflow.start(request, directory)
    workflow.train_run(run, dataset)
    return run.path


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Returns the cache of prepared data for all tests of the reports."""
    with mock.patch.dict(os.environ, {"HMAR_CACHE": str(tmp_path_factory.mktemp("cache"))}):
        yield


@pytest.fixture(scope="session")
def trained(cache, tmp_path_factory):
    """Returns the directory of a run on the tiny shop."""
    directory = tmp_path_factory.mktemp("runs") / "shop"
    return train(directory, dataset="synthetic_shop/tiny", epochs=2, seed=3)


@pytest.fixture(scope="session")
def opened(trained):
    """Opens the same run."""
    return open_run(trained)


@pytest.fixture(scope="session")
def page(trained):
    """Its report."""
    return run_report(trained)


@pytest.fixture(scope="session")
def hostile(cache, tmp_path_factory):
    """Returns the directory of a run on a log whose names would break a page without escaping."""
    directory = tmp_path_factory.mktemp("hostile")
    rng = np.random.default_rng(0)
    with open(directory / "events.csv", "w", encoding="utf-8", newline="") as file:
        write = csv.writer(file).writerow
        write(["user", "item", "what", "time"])
        items = ITEMS + [f"item {number}" for number in range(40)]
        for user in USERS + [f"user {number}" for number in range(20)]:
            for time in range(12):
                item = items[rng.integers(7 if time % 2 else len(items))]
                write([user, item, BEHAVIORS[time % 2], time])
    log = LogSpec(
        (str(directory / "events.csv"),), "user", "item", "what", time="time", target=BEHAVIORS[1]
    )
    return train(directory / "run", dataset=None, log=log, epochs=1)


@pytest.fixture(scope="session")
def hostile_page(hostile):
    """Its report."""
    return run_report(hostile, user=USERS[0])
