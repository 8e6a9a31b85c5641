"""A user's log through all commands: train, evaluate, export, resume, move."""

import json
import re
import shutil

import pytest

from pipelines.datasets import load_dataset

from ..commands import fails

pytestmark = pytest.mark.process

OPTIONS = ["--user", "who", "--item", "what", "--behavior", "did", "--time", "at"]
OPTIONS += ["--target", "buy", "--behaviors", "view,favorite,cart,buy"]
SMALL = ["--set", "dim=8", "--set", "max_length=8", "--epochs", "2", "--seed", "1"]


@pytest.fixture(scope="module")
def shop(home):
    """Writes the tiny shop as a user's CSV file, with names as ids."""
    dataset = load_dataset("synthetic_shop/tiny", cache_dir=home / "cache")
    lines = ["at,who,what,did"]
    for row, user in enumerate(dataset.users):
        for event in range(dataset.offsets[row], dataset.offsets[row + 1]):
            item = dataset.items[dataset.item_ids[event] - 1]
            did = dataset.behaviors.names[dataset.behavior_ids[event] - 1]
            lines.append(f"{dataset.timestamps[event]},user-{user},item-{item},{did}")
    (home / "shop.csv").write_text("\n".join(lines))
    return dataset


@pytest.fixture(scope="module")
def trained(hmar, shop):
    """Runs `hmar run` on the log."""
    process = hmar("run", "--log", "shop.csv", *OPTIONS, *SMALL, "--output", "run")
    assert process.returncode == 0, process.stderr
    return process


def test_run_on_a_log(hmar, home, shop, trained):
    assert f"{shop.num_events:,} rows" in re.sub(" +", " ", trained.stderr)
    assert "log/shop: 200 users, 100 items" in trained.stderr
    settings = json.loads((home / "run" / "run.json").read_text())
    assert settings["dataset"] == "log/shop"
    assert settings["log"]["files"] == [str(home / "shop.csv")]
    answer = [line.split("\t") for line in trained.stdout.splitlines() if "\t" in line]
    assert len(answer) == 5
    assert all(item.startswith("item-") for item, _ in answer)
    (line,) = [line for line in trained.stderr.splitlines() if "hmar recommend" in line]
    model, history = re.search(r"--model (\S+) --history '(\S+)'", line).groups()
    assert model == "saved_models/log-shop"
    again = hmar("recommend", "--model", model, "--history", history, "-k", 5)
    assert [line.split("\t") for line in again.stdout.splitlines()] == answer


def test_a_log_gives_what_the_dataset_of_the_same_events_gives(hmar, home, trained):
    settings = json.loads((home / "run" / "config.json").read_text())
    (home / "same.json").write_text(
        json.dumps({k: v for k, v in settings.items() if k not in ("num_items", "behaviors")})
    )
    process = hmar(
        *("train", "--dataset", "synthetic_shop/tiny", "--config", "same.json", "--seed", "1"),
        *("--output", "named"),
    )
    assert process.returncode == 0, process.stderr

    def scores(run):
        history = json.loads((home / run / "history.json").read_text())
        return [{k: v for k, v in entry.items() if k != "seconds"} for entry in history]

    assert scores("named") == scores("run")


def test_evaluate_wherever_the_log_lies(hmar, home, trained, tmp_path):
    before = json.loads((home / "run" / "metrics.json").read_text())
    moved = tmp_path / "shop.csv"
    shutil.copy2(home / "shop.csv", moved)
    (home / "shop.csv").rename(home / "shop.csv.away")
    try:
        for options in ((), ("--data-dir", tmp_path)):
            process = hmar("evaluate", "run", *options)
            assert process.returncode == 0, process.stderr
            assert json.loads((home / "run" / "metrics.json").read_text()) == before
        other_cache = {"HMAR_CACHE": str(tmp_path / "cache")}
        fails(hmar("evaluate", "run", **other_cache), "there is no log", "shop.csv")
    finally:
        (home / "shop.csv.away").rename(home / "shop.csv")


def test_resume_and_a_changed_log(hmar, home, trained):
    options = ["--log", "shop.csv", *OPTIONS, "--output", "run", "--resume"]
    process = hmar("train", *options, *SMALL[:-4], "--seed", "1", "--epochs", "3")
    assert process.returncode == 0, process.stderr
    assert len(json.loads((home / "run" / "history.json").read_text())) == 3
    content = (home / "shop.csv").read_text()
    (home / "shop.csv").write_text(content + "\n1,user-0,item-new,view")
    try:
        fails(hmar("train", *options, *SMALL), "log/shop has changed since run was started")
    finally:
        (home / "shop.csv").write_text(content)


def test_a_log_that_cannot_be_split_leaves_no_run(hmar, home):
    (home / "short.csv").write_text("at,who,what,did\n1,u,i,buy\n2,u,j,view\n3,v,i,cart\n")
    options = ["--log", "short.csv", *OPTIONS[:10], "--output", "bad"]
    process = hmar("train", *options)
    assert process.returncode == 2
    assert "no user has 3 events of the target behaviour 'buy'" in process.stderr
    assert not (home / "bad").exists()
