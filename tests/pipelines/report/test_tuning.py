"""The page of a search, from files like those of `hmar tune`."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest

from hmar_keras.schema import Behaviors
from pipelines.report.tuning_report import objective_title, tuning_report
from pipelines.runtime.hardware import Hardware
from pipelines.training.run_config import RunConfig
from pipelines.tuning.space import Choices, Range, SearchSpace

from ..commands import fails
from .html_page import HTMLPage

pytestmark = pytest.mark.slow

OBJECTIVE = "val_sampled_ndcg@10"
SPACE = {
    "alpha": Range(0.02, 1.0, log=True),
    "theta": Range(0.01, 1.0, log=True),
    "dropout": Range(0.0, 0.6),
    "num_negatives": Choices((1, 4, 16, 64, 256)),
    "loss": Choices(("bce", "sampled_softmax")),
}


def write_tuning(directory, trials=30, best_run=None):
    """Writes the files of a search whose scores depend on theta and the loss; the last trial fails.

    Returns:
        the values and scores of the completed trials, in order.
    """
    behaviors = Behaviors(("view", "<b>cart</b>", "buy"), target="buy")
    base = RunConfig.of(100, behaviors, theta=0.1)
    space = SearchSpace(base, SPACE)
    rng = np.random.default_rng(0)
    content = {
        "dataset": "synthetic_shop/tiny",
        "config": base.to_dict(),
        "space": space.to_dict(),
        "algorithm": "random",
        "objective": OBJECTIVE,
        "max_trials": trials + 2,
        "seed": 0,
        "data_dir": None,
        "log": None,
        "statistics": {},
        "versions": {},
        "hardware": [dataclasses.asdict(Hardware())],
    }
    (directory / "tuning.json").write_text(json.dumps(content))
    found = []
    for number in range(trials):
        values = {name: _drawn(entry, rng) for name, entry in space.entries.items()}
        place = space.entries["theta"].place(values["theta"])
        score = 0.3 + 0.1 * place + 0.04 * (values["loss"] == "sampled_softmax")
        score += 0.002 * float(rng.standard_normal())
        history = [
            {"epoch": e + 1, "val_score": score * scale, OBJECTIVE: score * scale, "seconds": 2.0}
            for e, scale in enumerate((0.7, 1.0, 0.9))
        ]
        _write_trial(directory, number, "COMPLETED", values, score, history)
        found.append((values, score))
    _write_trial(directory, trials, "FAILED", values, None, [])
    (directory / f"search/trial_{trials:02d}/message.txt").write_text("the <loss> is no number\n")
    if best_run:
        best = max(range(trials), key=lambda number: found[number][1])
        run = directory / f"search/trial_{best:02d}/run"
        shutil.rmtree(run)
        shutil.copytree(best_run, run)
    return found


def _drawn(entry, rng):
    if isinstance(entry, Choices):
        return entry.choices[rng.integers(len(entry.choices))]
    if entry.log:
        return float(np.exp(rng.uniform(np.log(entry.low), np.log(entry.high))))
    return float(rng.uniform(entry.low, entry.high))


def _write_trial(directory, number, status, values, score, history):
    run = directory / f"search/trial_{number:02d}/run"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    (run / "history.json").write_text(json.dumps(history))
    trial = {"trial_id": f"{number:02d}", "status": status, "score": score}
    trial["hyperparameters"] = {"values": values}
    (run.parent / "trial.json").write_text(json.dumps(trial))


@pytest.fixture
def search(tmp_path):
    return tmp_path, write_tuning(tmp_path)


def test_the_page_tells_the_best_and_where_the_search_began(search):
    directory, found = search
    page = HTMLPage(tuning_report(directory))
    scores = [score for _, score in found]
    best = int(np.argmax(scores))
    header, first, *rest = page.table("Completed trials, the best first")
    assert header[:4] == ["trial", "NDCG@10, sampled negatives", "epoch kept", "time"]
    assert first[:4] == [f"{best:02d} best", f"{scores[best]:.4f}", "2 of 3", "6 s"]
    assert [row[1] for row in rest] == [f"{s:.4f}" for s in sorted(scores, reverse=True)[1:]]
    tiles = page.all("header")[0].text
    assert f"{scores[0]:.4f}" in tiles and "30 of 32" in tiles and "1 failed, 0 not" in tiles
    assert page.table("Trials that failed")[1:] == [["30", "the <loss> is no number"]]
    ranges = dict(page.table("What was searched")[1:])
    assert ranges["theta"] == "0.01 to 1, on a log scale"
    assert ranges["num_negatives"] == "one of 1, 4, 16, 64, 256"
    assert ranges["alpha.<b>cart</b>"].startswith("0.02 to 1")


def test_the_best_so_far_is_the_running_maximum(search):
    directory, found = search
    rows = HTMLPage(tuning_report(directory)).table("Best so far")[1:]
    scores = [score for _, score in found]
    assert [row[0] for row in rows] == [f"{number:02d}" for number in range(30)]
    assert [row[2] for row in rows] == [f"{max(scores[: i + 1]):.4f}" for i in range(30)]


def test_what_decides_the_scores_is_told_apart_from_what_does_not(search):
    directory, _ = search
    page = HTMLPage(tuning_report(directory))
    rows = page.table("Importance of the settings")[1:]
    shares = {name: float(share.split()[0].rstrip("%")) for name, share in rows}
    assert [name for name, _ in rows[:2]] == ["theta", "loss"]
    assert shares["theta"] > 50 and shares["loss"] > 5
    assert all(share < 5 for name, share in shares.items() if name not in ("theta", "loss"))
    captions = [element.text for element in page.all("figcaption")]
    assert any("upper third" in text for text in captions)
    assert any("it is best at sampled_softmax" in text for text in captions)


def test_every_setting_has_its_picture_and_the_numbers(search):
    directory, found = search
    page = HTMLPage(tuning_report(directory))
    names = list(found[0][0])
    for name in names:
        rows = page.table(f"NDCG@10, sampled negatives by {name}")[1:]
        assert sorted(row[2] for row in rows) == sorted(f"{score:.4f}" for _, score in found)
    rows = page.table("All settings of all trials")
    assert rows[0] == ["trial", *names, "NDCG@10, sampled negatives"]
    best_values, _ = max(found, key=lambda each: each[1])
    assert rows[1][1 + names.index("num_negatives")] == str(best_values["num_negatives"])


def test_too_few_trials_are_not_read_into(tmp_path):
    write_tuning(tmp_path, trials=3)
    text = tuning_report(tmp_path)
    assert "too few" in text
    assert "Importance of the settings" not in text


def test_noise_is_called_noise(tmp_path):
    write_tuning(tmp_path, trials=20)
    rng = np.random.default_rng(5)
    for path in tmp_path.glob("search/trial_*/trial.json"):
        trial = json.loads(path.read_text())
        if trial["score"] is not None:
            path.write_text(json.dumps({**trial, "score": float(rng.random())}))
    text = tuning_report(tmp_path)
    assert "do not show which settings" in text
    assert "Importance of the settings" not in text


def change(directory, number, **fields):
    """Rewrites the file of a trial; `values` are merged into its values."""
    path = directory / f"search/trial_{number:02d}/trial.json"
    trial = json.loads(path.read_text())
    trial["hyperparameters"]["values"] |= fields.pop("values", {})
    path.write_text(json.dumps({**trial, **fields}))


def test_a_trial_that_another_went_on_with_counts_once(search):
    """As with Hyperband: the same values, the epochs of both; here the score does not improve."""
    directory, found = search
    best = max(range(30), key=lambda number: found[number][1])
    for first, second in ((0, 28), (best, 29)):
        values = {**found[first][0], "tuner/trial_id": f"{first:02d}"}
        change(directory, second, values=values, score=found[first][1])
    page = HTMLPage(tuning_report(directory))
    trials = [row[0] for row in page.table("Best so far")[1:]]
    assert {"00", f"{best:02d}"}.isdisjoint(trials) and {"28", "29"} <= set(trials)
    header = page.all("header")[0].text
    assert "the best: trial 29" in header and "trial 28" in header  # where the search began
    assert "2 min 48 s" in header  # 28 trials of 6 s
    captions = [element.text for element in page.all("figcaption")]
    assert any(f"The search began with {found[0][1]:.4f}." in text for text in captions)


def test_where_the_search_began_is_left_out_if_that_failed(search):
    directory, _ = search
    change(directory, 0, status="FAILED", score=None)
    text = tuning_report(directory)
    assert "where the search began" not in text and "began with" not in text


def test_the_runs_may_be_gone(search):
    """For example if only the small files were copied from another machine."""
    directory, _ = search
    for run in directory.glob("search/trial_*/run"):
        shutil.rmtree(run)
    page = HTMLPage(tuning_report(directory))
    assert page.table("Completed trials, the best first")[1][2] == "–"
    assert len(page.table("Best so far")) == 31
    assert "is not in this directory" in page.all("main")[0].text


def test_equal_scores_are_drawn(search):
    directory, _ = search
    for number in range(30):
        change(directory, number, score=0.25)
    assert "too few, or their scores too similar" in tuning_report(directory)


def test_trials_are_in_the_order_in_which_they_were_begun(tmp_path):
    """Ids have as many digits as the number of trials requested when the trial began."""
    write_tuning(tmp_path, trials=12)
    for number in range(5):
        path = tmp_path / f"search/trial_{number:02d}"
        change(tmp_path, number, trial_id=str(number))
        path.rename(path.with_name(f"trial_{number}"))
    rows = HTMLPage(tuning_report(tmp_path)).table("Best so far")[1:]
    assert [int(row[0]) for row in rows] == list(range(12))


@pytest.mark.parametrize(
    "breaking",
    [
        lambda directory: (directory / "search/trial_03/trial.json").write_text(""),
        lambda directory: change(directory, 3, hyperparameters={"values": {}}),
        lambda directory: change(directory, 3, values={"num_negatives": 5}),
        lambda directory: change(directory, 3, values={"theta": "much"}),
        lambda directory: (directory / "tuning.json").write_text(
            (directory / "tuning.json").read_text().replace(OBJECTIVE, "val_luck")
        ),
    ],
)
def test_broken_files_are_told(hmar, search, breaking):
    directory, _ = search
    breaking(directory)
    process = hmar("report", directory)
    fails(process)
    assert "estore" in process.stderr


def test_the_best_trial_has_its_own_report_below(hmar, trained):
    directory = hmar.home / "tuning"
    directory.mkdir()
    write_tuning(directory, trials=9, best_run=trained)
    history = json.loads((trained / "history.json").read_text())
    assert OBJECTIVE in history[0]
    process = hmar("report", "tuning", "--user", "3", HMAR_CACHE=os.environ["HMAR_CACHE"])
    assert process.returncode == 0, process.stderr
    page = HTMLPage((directory / "report.html").read_text(encoding="utf-8"))
    sections = [element.attributes["id"] for element in page.all("section")]
    assert sections[:6] == ["progress", "settings", "together", "trials", "one-run", "results"]
    assert "One user: 3" in page.all("main")[0].text


def test_a_search_without_a_result_is_told(hmar, search):
    directory, _ = search
    fails(hmar("report", directory, "--user", "3"), "--user")
    for path in directory.glob("search/trial_*/trial.json"):
        trial = json.loads(path.read_text())
        path.write_text(json.dumps({**trial, "status": "RUNNING", "score": None}))
    fails(hmar("report", directory), "no trial", "has completed yet")
    assert not (directory / "report.html").exists()


def test_objectives_have_names():
    assert objective_title("val_score") == "validation score"
    assert objective_title("val_full_unseen_hr@10") == "HR@10, new items"
