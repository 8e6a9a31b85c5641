"""`hmar tune` as a user runs it: to the end, with a killed chief or worker, with failed trials."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.training.run_config import RunConfig
from pipelines.tuning.request import Tuning

from ..commands import fails

pytestmark = pytest.mark.process

TINY = ["--dataset", "synthetic_shop/tiny", "--set", "dim=4", "--set", "max_length=6"]
SEARCH = ["tune", *TINY, "--over", "alpha", "--over", "theta", "--algorithm", "random"]
TRIALS = 4


def begin(home, *arguments):
    """Starts the command in a new process."""
    environment = {**os.environ, "HMAR_CACHE": str(home / "cache"), "COLUMNS": "200"}
    command = [sys.executable, "-c", "from pipelines.cli.app import main; main()"]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        cwd=home,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(condition, process, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)


def table(path):
    if not (path / "trials.csv").exists():
        return []
    with open(path / "trials.csv", newline="") as file:
        return list(csv.DictReader(file))


def finished_epochs(path):
    return len(list(path.glob("search/trial_*/run/history.json")))


def workers_of(path):
    """Returns the process ids of the search's workers, found by their command lines."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"pipelines.tuning.worker" in words and words[-2].endswith(path.name.encode()):
                found.append(int(entry.name))
    return found


@pytest.fixture(scope="module")
def killed(home):
    """Resumes a search after killing a worker and then the chief in the middle."""
    path = home / "killed"
    options = [*SEARCH, "--epochs", 2, "--max-trials", TRIALS, "--output", path]
    process = begin(home, *options, "--workers", 2)
    wait_for(lambda: finished_epochs(path) >= 1, process)
    os.kill(workers_of(path)[0], signal.SIGKILL)
    wait_for(lambda: len(table(path)) >= 1 and finished_epochs(path) >= 2, process)
    wait_for(lambda: any(row["status"] == "completed" for row in table(path)), process)
    process.kill()
    process.wait()
    before = {row["trial"]: row for row in table(path) if row["status"] == "completed"}
    wait_for_no_workers(path)
    process = begin(home, *options, "--resume")
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output
    return path, before, output


def wait_for_no_workers(path):
    deadline = time.monotonic() + 30
    while workers_of(path):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_after_kills_there_are_exactly_as_many_distinct_trials(killed):
    path, _, output = killed
    rows = table(path)
    assert [row["status"] for row in rows] == ["completed"] * TRIALS
    names = [name for name in rows[0] if name.startswith("alpha.") or name == "theta"]
    assert len({tuple(row[name] for name in names) for row in rows}) == TRIALS
    assert len(list(path.glob("search/trial_*/trial.json"))) == TRIALS
    assert f"{TRIALS} of {TRIALS} completed" in output


def test_what_had_ended_before_the_kill_is_as_it_was(killed):
    path, before, _ = killed
    now = {row["trial"]: row for row in table(path)}
    assert before
    for trial, row in before.items():
        assert now[trial] == row


def test_the_first_trial_is_the_configuration_to_begin_with(killed):
    path, _, _ = killed
    config = RunConfig.from_dict(json.loads((path / "tuning.json").read_text())["config"])
    first = table(path)[0]
    assert float(first["theta"]) == config.model.theta
    assert {name: float(first[f"alpha.{name}"]) for name in config.model.alpha} == dict(
        config.model.alpha
    )


def test_the_best_configuration_is_the_best_trials_and_trains_as_it_is(killed, hmar):
    path, _, _ = killed
    rows = table(path)
    best = max(rows, key=lambda row: float(row["val_score"]))
    config = RunConfig.from_dict(json.loads((path / "best_config.json").read_text()))
    assert config.model.theta == float(best["theta"])
    trained = path / best["run"]
    assert RunConfig.from_dict(json.loads((trained / "config.json").read_text())) == config
    dataset = ["--dataset", "synthetic_shop/tiny"]
    process = hmar("train", *dataset, "--config", path / "best_config.json", "--output", "again")
    assert process.returncode == 0, process.stderr
    histories = [
        json.loads((run / "history.json").read_text()) for run in (trained, hmar.home / "again")
    ]
    scores = [[epoch["val_score"] for epoch in history] for history in histories]
    # The threads of two workers may add numbers in another order than those of one process.
    assert scores[1] == pytest.approx(scores[0], rel=0.05)


def test_a_finished_search_gets_more_trials_but_no_other_question(killed, hmar):
    path, _, _ = killed
    fails(hmar(*SEARCH, "--output", path), "exists", "--resume")
    for options, word in (
        (["--algorithm", "hyperband"], "algorithm"),
        (["--objective", "val_full_hr@10"], "objective"),
        (["--seed", 7], "seed"),
        (["--set", "dim=8"], "config"),
        (["--over", "theta"], "space"),
    ):
        process = hmar("tune", *TINY[:2], *options, "--output", path, "--resume")
        fails(process, "another", word)
    other = ("--dataset", "synthetic_shop/small")
    process = hmar("tune", *other, "--output", path, "--resume")
    fails(process, "was started with synthetic_shop/tiny", "--dataset")
    run = json.loads(next(path.glob("search/trial_*/run/run.json")).read_text())
    content = json.loads((path / "tuning.json").read_text())
    assert run["fingerprint"] == content["fingerprint"]


@pytest.mark.slow
def test_trials_that_fail_are_recorded_and_skipped(hmar):
    """Tries a learning rate that makes the loss NaN, and one that does not."""
    space = hmar.home / "space.json"
    space.write_text(json.dumps({"learning_rate": {"choices": [1e-3, 1e30, 1e35, 1e36]}}))
    path = hmar.home / "failing"
    options = ["--epochs", 1, "--max-trials", 4, "--algorithm", "random", "--output", path]
    process = hmar("tune", *TINY, "--space", space, *options)
    assert process.returncode == 0, process.stderr
    rows = table(path)
    by_rate = {float(row["learning_rate"]): row for row in rows}
    assert by_rate[1e-3]["status"] == "completed"
    assert by_rate[1e36]["status"] == "failed"
    assert "the loss is not finite" in by_rate[1e36]["message"]
    best = json.loads((path / "best_config.json").read_text())
    assert best["learning_rate"] == 1e-3


def test_bad_requests_are_one_sentence(hmar):
    begin_ = ["tune", *TINY, "--output", "new"]
    fails(hmar(*begin_, "--algorithm", "grid"), "unknown algorithm", "random, bayesian")
    fails(hmar(*begin_, "--objective", "val_loss"), "unknown objective", "val_ndcg@10")
    fails(hmar(*begin_, "--resume", "--overwrite"), "exclude each other")
    fails(hmar(*begin_, "--resume"), "is not the directory of a tuning")
    fails(hmar(*begin_, "--over", "indicators"), "no range of indicators")
    assert not (hmar.home / "new").exists()


def test_overwrite_throws_away_a_search_and_nothing_else(hmar, killed):
    other = hmar.home / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    fails(hmar(*SEARCH, "--output", other, "--overwrite"), "exists")
    assert (other / "thesis.txt").read_text() == "mine"


def test_a_worker_never_throws_a_search_away(hmar, killed):
    path, _, _ = killed
    variables = {
        "KERASTUNER_TUNER_ID": "worker-9",
        "KERASTUNER_ORACLE_IP": "127.0.0.1",
        "KERASTUNER_ORACLE_PORT": "1",
    }
    fails(hmar("tune", "--output", path, "--overwrite", **variables), "a worker never")
    assert len(table(path)) == TRIALS
    del variables["KERASTUNER_ORACLE_PORT"]
    fails(hmar("tune", "--output", path, **variables), "KERASTUNER_ORACLE_PORT is not")


def test_a_search_of_before_there_were_some_settings_goes_on_as_it_began(tmp_path):
    used = {"devices": 1, "precision": "float32", "jit_compile": False, "steps_per_execution": 1}
    hardware = Tuning(tmp_path, {"hardware": [used]}).hardware
    assert not hardware.data_on_device
