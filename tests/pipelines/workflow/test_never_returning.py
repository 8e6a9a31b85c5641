"""Commands on a log in which nobody buys an item twice."""

import json

import numpy as np
import pytest

from pipelines.evaluation.baselines import best_rule
from pipelines.evaluation.evaluator import FULL_RETURNABLE, PROTOCOLS
from pipelines.export.model_card import METADATA

from ..report.html_page import HTMLPage

pytestmark = pytest.mark.slow

ITEMS, PURCHASES = 40, 12
COLUMNS = ["--user", "user", "--item", "item", "--behavior", "event", "--time", "time"]
SMALL = ["--set", "dim=4", "--set", "max_length=8", "--epochs", 1]


@pytest.fixture(scope="module")
def options(home):
    """Writes the log and returns the options that name it."""
    rng, rows = np.random.default_rng(0), ["user,item,event,time"]
    for user in range(60):
        for time, item in enumerate(rng.permutation(ITEMS)[:PURCHASES]):
            rows.append(f"u{user},i{rng.integers(ITEMS)},view,{10 * time}")
            rows.append(f"u{user},i{item},buy,{10 * time + 1}")
    (home / "once.csv").write_text("\n".join(rows) + "\n")
    return ["--log", "once.csv", *COLUMNS, "--behaviors", "view,buy", "--target", "buy"]


@pytest.fixture(scope="module")
def finished(hmar, options):
    """Runs `hmar run` on it."""
    process = hmar("run", *options, *SMALL, "--output", "run", COLUMNS="80")
    assert process.returncode == 0, process.stderr
    return process


def test_the_column_is_in_the_files_and_the_tables(hmar, finished):
    metrics = json.loads((hmar.home / "run" / "metrics.json").read_text())
    for part in ("validation", "test"):
        for protocols in metrics[part].values():
            assert set(protocols) == {*PROTOCOLS, FULL_RETURNABLE}
        returnable = metrics[part]["HMAR"][FULL_RETURNABLE]
        # The answer and all items that the user has not bought: 11 are bought at the test.
        assert returnable["questions"] == 60
        assert returnable["candidates"] == ITEMS - (PURCHASES - 2 + (part == "test"))
        best = metrics[part][best_rule(metrics[part], FULL_RETURNABLE)][FULL_RETURNABLE]
        cell = "/".join(f"{best[name]:.4f}".lstrip("0") for name in ("hr@10", "ndcg@10"))
        assert f"{cell}*" in finished.stdout
    assert finished.stdout.count("can return") == 2
    (epoch,) = json.loads((hmar.home / "run" / "history.json").read_text())
    assert not [name for name in epoch if FULL_RETURNABLE in name]  # too slow for every epoch
    (card,) = hmar.home.glob("saved_models/*/1/assets.extra/model_card.md")
    assert "| Test | sampled | full | new items | can return |" in card.read_text()


def test_the_report_has_the_column(hmar, finished):
    assert hmar("report", "run").returncode == 0
    metrics = json.loads((hmar.home / "run" / "metrics.json").read_text())
    (page,) = (hmar.home / "run").glob("*.html")
    header, *rows = HTMLPage(page.read_text()).table("Can return, test:")
    place = header.index("HR@10")
    for row in rows:
        assert row[place].startswith(f"{metrics['test'][row[0]][FULL_RETURNABLE]['hr@10']:.4f} ")


def test_an_experiment_has_the_column(hmar, options):
    words = ["--suite", "protocol", "--seeds", 1, "--output", "experiment"]
    process = hmar("experiment", *options, *SMALL, *words)
    assert process.returncode == 0, process.stderr
    assert "test, full catalogue, items that can return (60 x 29)" in process.stdout
    results = json.loads((hmar.home / "experiment" / "results.json").read_text())
    for row in results["variants"]:
        assert FULL_RETURNABLE in row["seeds"][0]["test"]
    assert all(FULL_RETURNABLE in each for each in results["differences"].values())


def test_exports_leave_out_what_never_comes_back(hmar, finished):
    assert "recommend leaves out items after buy" in finished.stderr
    (model,) = hmar.home.glob("saved_models/*")
    history = ["--history", "i1:view,i2:view,i2:buy,i3:buy,i3:view", "-k", ITEMS]

    def recommended():
        process = hmar("recommend", "--model", model, *history)
        assert process.returncode == 0, process.stderr
        return {line.split("\t")[0] for line in process.stdout.splitlines()}

    everything = {f"i{item}" for item in range(ITEMS)}
    assert recommended() == everything - {"i2", "i3"}
    process = hmar("export", "run", "--include-all")
    assert (process.returncode, "leaves out" in process.stderr) == (0, False)
    assert recommended() == everything
    left_out = [
        json.loads((model / version / METADATA).read_text())["leaves_out"] for version in "12"
    ]
    assert left_out == [["buy"], []]
