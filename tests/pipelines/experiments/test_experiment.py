"""`hmar experiment` as a user runs it: complete, in parts, and killed."""

import copy
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from pipelines.datasets import load_dataset
from pipelines.evaluation.evaluator import Ranks
from pipelines.experiments.ranks_file import load_ranks, save_ranks
from pipelines.runtime.errors import InputError
from pipelines.storage.artefacts import write_json

from ..commands import fails

TINY = ["--dataset", "synthetic_shop/tiny", "--set", "dim=4", "--set", "max_length=6"]
PROTOCOLS = {"sampled", "sampled_popular", "full", "full_unseen"}
SIMPLE = [
    *("popularity", "repeat your history", "recency by behaviour", "touched, by conversion"),
    "session co-occurrence",
]


def results_of(path):
    """Returns `results.json` without the values that differ every time."""
    results = json.loads((path / "results.json").read_text())
    for variant in results["variants"]:
        for seed in variant["seeds"]:
            seed.pop("seconds", None)
    return results


@pytest.fixture(scope="module")
def whole(fresh_hmar, home):
    """Runs all suites with one seed for one epoch."""
    suites = [option for suite in ("main", "ablation") for option in ("--suite", suite)]
    process = fresh_hmar(
        "experiment", *TINY, *suites, "--seeds", 1, "--epochs", 1, "--output", "whole"
    )
    assert process.returncode == 0, process.stderr
    return process


def test_every_variant_stands_in_the_table(whole, home):
    results = results_of(home / "whole")
    names = [variant["name"] for variant in results["variants"]]
    assert names == [
        *("HMAR", "SASRec", "SASRec, all behaviours", "gSASRec, all behaviours"),
        *("without auxiliary behaviours", "without multi-task", "without indicators"),
        *("without behaviour encoder", "without memory", *SIMPLE),
    ]
    assert set(results["differences"]) == set(names) - {"HMAR"}
    for variant in results["variants"]:
        assert variant["trained"] == (variant["name"] not in SIMPLE)
        (seed,) = variant["seeds"]
        assert seed["seed"] == 0
        for part in ("validation", "test"):
            assert set(seed[part]) == PROTOCOLS
        if variant["trained"]:
            run = home / "whole" / seed["run"]
            assert (run / "model.keras").is_file()
            assert seed["epochs"] == seed["best_epoch"] == 1
            config = json.loads((run / "config.json").read_text())
            for field, value in variant["changes"].items():
                assert config[field] == value
        else:
            assert seed["run"] is None
        assert variant["name"] in whole.stdout
    for title in ("99 random negatives", "drawn by popularity", "full catalogue (", "new items"):
        assert title in whole.stdout
    hmar, popularity = (
        results["variants"][names.index(name)]["seeds"][0]["test"]["full"]["ndcg@10"]
        for name in ("HMAR", "popularity")
    )
    found = results["differences"]["popularity"]["full"]["ndcg@10"]
    assert found["difference"] == pytest.approx(hmar - popularity)
    assert found["low"] <= found["difference"] <= found["high"]


def test_a_run_of_it_is_a_run(whole, hmar, home):
    """`hmar evaluate` gives the experiment's numbers."""
    process = hmar("evaluate", "whole/runs/hmar-0")
    assert process.returncode == 0, process.stderr
    metrics = json.loads((home / "whole" / "runs" / "hmar-0" / "metrics.json").read_text())
    results = results_of(home / "whole")
    for name in ("HMAR", *SIMPLE):
        (row,) = [each for each in results["variants"] if each["name"] == name]
        for part in ("validation", "test"):
            for protocol, values in metrics[part][name].items():
                assert row["seeds"][0][part][protocol] == pytest.approx(values, abs=1e-6)


def test_more_can_be_asked_of_it_later(whole, fresh_hmar, home):
    before = copy.deepcopy(results_of(home / "whole"))
    more = ("experiment", *TINY, "--suite", "protocol", "--epochs", 1, "--output", "whole")
    process = fresh_hmar(*more, "--seeds", 2, "--resume")
    assert process.returncode == 0, process.stderr
    results = results_of(home / "whole")
    request = json.loads((home / "whole" / "experiment.json").read_text())
    assert (request["suites"], request["seeds"]) == (["protocol"], [0, 1])
    assert [variant["name"] for variant in results["variants"]] == ["HMAR", *SIMPLE]
    assert [seed["seed"] for seed in results["variants"][0]["seeds"]] == [0, 1]
    assert results["variants"][0]["seeds"][0] == before["variants"][0]["seeds"][0]
    assert "±" in process.stdout


def test_bad_requests_are_one_sentence(hmar, whole):
    fails(hmar("experiment", *TINY, "--output", "whole"), "exists", "--resume")
    fails(hmar("experiment", *TINY, "--resume"), "--output")
    fails(hmar("experiment", *TINY, "--output", "nothing", "--resume"), "experiment.json")
    fails(hmar("experiment", *TINY, "--suite", "tables"), "main, ablation, protocol")
    fails(hmar("experiment", *TINY, "--set", "model=sasrec"), "model=sasrec")
    other = ("experiment", "--dataset", "synthetic_shop/tiny", "--set", "dim=6")
    fails(hmar(*other, "--output", "whole", "--resume"), "other settings")
    bfloat16 = ("--precision", "mixed_bfloat16")
    fails(hmar("experiment", *TINY, *bfloat16, "--output", "whole", "--resume"), "keep both")
    assert not (hmar.home / "experiments").exists()


def test_a_killed_experiment_ends_with_the_same_table(fresh_hmar, home):
    """SIGKILL while the first run is evaluated or the second trains, then a resume."""
    asked = ["experiment", *TINY, "--suite", "protocol", "--seeds", "2", "--epochs", "3"]
    process = fresh_hmar(*asked, "--output", "once")
    assert process.returncode == 0, process.stderr
    expected = results_of(home / "once")

    command = [sys.executable, "-c", "from pipelines.cli.app import main; main()", *asked]
    process = subprocess.Popen(
        [*command, "--output", "killed"],
        cwd=home,
        env={**os.environ, "HMAR_CACHE": str(home / "cache")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    history = home / "killed" / "runs" / "hmar-0" / "history.json"
    while not history.exists() or len(json.loads(history.read_text())) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(np.random.default_rng().uniform(0, 6))  # at any later moment
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = fresh_hmar(*asked, "--output", "killed", "--resume")
    assert again.returncode == 0, again.stderr
    assert results_of(home / "killed") == expected
    assert not list((home / "killed").rglob(".*"))


def test_ranks_survive_the_file(tmp_path):
    ranks = {
        "test/full": Ranks(np.array([3, -1, 0]), np.array([9, 8, 9])),
        "session co-occurrence/test/sampled": Ranks(np.array([1]), np.array([100])),
    }
    save_ranks(tmp_path / "ranks.npz", ranks)
    loaded = load_ranks(tmp_path / "ranks.npz")
    assert list(loaded) == list(ranks)
    for name, each in ranks.items():
        assert loaded[name].metrics() == each.metrics()


@pytest.mark.parametrize("size", [0, 10, 200])
def test_a_broken_file_of_ranks_is_named(tmp_path, size):
    save_ranks(tmp_path / "ranks.npz", {"test/full": Ranks(np.arange(99), np.arange(99))})
    content = (tmp_path / "ranks.npz").read_bytes()
    (tmp_path / "ranks.npz").write_bytes(content[:size])
    with pytest.raises(InputError, match="delete it and its checksum, then resume"):
        load_ranks(tmp_path / "ranks.npz")


def test_the_dataset_must_be_the_same(hmar, whole):
    path = hmar.home / "whole" / "experiment.json"
    content = json.loads(path.read_text())
    users = load_dataset("synthetic_shop/tiny").num_users
    assert content["statistics"]["users"] == users
    write_json(path, {**content, "fingerprint": "of another log"})
    fails(hmar("experiment", *TINY, "--output", "whole", "--resume"), "has changed since whole")
    write_json(path, content)
    other = ("--dataset", "synthetic_shop/small", "--output", "whole", "--resume")
    fails(hmar("experiment", *other), "whole was started with synthetic_shop/tiny", "--dataset")
    run = json.loads(next((path.parent / "runs").glob("*/run.json")).read_text())
    assert run["fingerprint"] == content["fingerprint"]
    assert run["prepared"] == content["prepared"]
