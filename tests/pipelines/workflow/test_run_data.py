"""A run recognises its data when a log changes, grows, moves or disappears after training."""

import json
import re
import shutil

import pytest

from pipelines.datasets import load_dataset
from pipelines.export import METADATA
from pipelines.storage.artefacts import write_json

from ..commands import fails

COLUMNS = ["--user", "who", "--item", "what", "--behavior", "did", "--time", "at"]
COLUMNS += ["--target", "buy", "--behaviors", "view,favorite,cart,buy"]
LOG = ["--log", "log.csv", *COLUMNS]
SMALL = ["--set", "dim=8", "--set", "max_length=8"]


@pytest.fixture(scope="module")
def lines(home):
    """Returns the tiny shop as lines of a log, the header first."""
    dataset = load_dataset("synthetic_shop/tiny", cache_dir=home / "cache")
    found = ["at,who,what,did"]
    for row in range(dataset.num_users):
        for event in range(dataset.offsets[row], dataset.offsets[row + 1]):
            did = dataset.behaviors.names[dataset.behavior_ids[event] - 1]
            item = dataset.items[dataset.item_ids[event] - 1]
            found.append(f"{dataset.timestamps[event]},{row},i{item},{did}")
    return found


@pytest.fixture(scope="module")
def trained(hmar, home, lines):
    """Returns the directory of a run on the log, trained for an epoch."""
    (home / "log.csv").write_text("\n".join(lines))
    process = hmar("train", *LOG, *SMALL, "--epochs", 1, "--output", "run")
    assert process.returncode == 0, process.stderr
    return home / "run"


@pytest.fixture(autouse=True)
def whole(request, home, lines):
    """Restores the log that the run was started with, before every test."""
    (home / "log.csv").write_text("\n".join(lines))


def renamed(lines):
    """Renames an item like `sed 's/,i5,/,i99999,/'`: counts stay, most item ids change."""
    return [re.sub(",i5,", ",i99999,", line) for line in lines]


def grown(lines):
    return [*lines, "999999,0,new,view"]


def later(lines):
    """Adds one to all times: the same events in the same order."""
    return [lines[0], *(re.sub(r"^\d+", lambda at: str(int(at[0]) + 1), e) for e in lines[1:])]


CHANGES = pytest.mark.parametrize("change", [renamed, grown, later])


def exported_items(home, name):
    version = max((home / "saved_models" / name).iterdir())
    return sorted((version / "assets").glob("*"))[0].read_bytes()


@pytest.fixture(scope="module")
def exported(hmar, home, trained):
    """Returns the vocabulary that is exported while the log is unchanged."""
    assert hmar("export", "run", "--name", "before").returncode == 0
    return exported_items(home, "before")


@pytest.mark.slow
@CHANGES
def test_a_changed_log_makes_no_difference_to_what_was_trained(change, hmar, home, lines, exported):
    (home / "log.csv").write_text("\n".join(change(lines)))
    process = hmar("export", "run", "--name", change.__name__)
    assert process.returncode == 0, process.stderr
    assert exported_items(home, change.__name__) == exported


@pytest.mark.slow
@CHANGES
@pytest.mark.parametrize("command", ["export", "evaluate", "report"])
def test_a_changed_log_without_the_prepared_copy_is_refused(
    change, command, hmar, home, lines, trained, tmp_path
):
    (home / "log.csv").write_text("\n".join(change(lines)))
    process = hmar(command, "run", HMAR_CACHE=str(tmp_path))
    fails(process, "log/log has changed since run was started", "restore", "start a new run")


@pytest.mark.slow
def test_a_deleted_log_is_not_missed(hmar, home, trained):
    (home / "log.csv").unlink()
    for command in ("evaluate", "export", "report"):
        process = hmar(command, "run")
        assert process.returncode == 0, process.stderr


@pytest.mark.slow
def test_a_moved_log_is_read_where_it_lies(hmar, home, lines, trained, tmp_path):
    shutil.move(home / "log.csv", tmp_path / "log.csv")
    for cache in (home / "cache", tmp_path / "cache"):
        process = hmar("evaluate", "run", "--data-dir", tmp_path, HMAR_CACHE=str(cache))
        assert process.returncode == 0, process.stderr
    (tmp_path / "log.csv").write_text("\n".join(renamed(lines)))
    process = hmar("evaluate", "run", "--data-dir", tmp_path)
    fails(process, "log/log has changed since run was started", "leave out --data-dir")


@pytest.fixture
def copy(home, trained):
    """Returns a copy of the run that tests may resume."""
    shutil.rmtree(home / "copy", ignore_errors=True)
    return shutil.copytree(trained, home / "copy")


RESUME = [*SMALL, "--epochs", 2, "--output", "copy", "--resume"]


@pytest.mark.slow
@CHANGES
def test_resuming_on_another_state_of_the_log_is_refused(change, hmar, home, lines, copy):
    (home / "log.csv").write_text("\n".join(change(lines)))
    before = (copy / "run.json").read_text()
    fails(hmar("train", *LOG, *RESUME), "log/log has changed since copy was started", "leave out")
    assert (copy / "run.json").read_text() == before
    assert len(json.loads((copy / "history.json").read_text())) == 1
    # It resumes with the data that it was started with.
    process = hmar("train", *RESUME)
    assert process.returncode == 0, process.stderr
    assert len(json.loads((copy / "history.json").read_text())) == 2


def test_resuming_on_other_data_is_refused(hmar, home, lines, copy):
    (home / "other.csv").write_text("\n".join(renamed(lines)))
    process = hmar("train", "--log", "other.csv", *COLUMNS, *RESUME)
    fails(process, "copy was started with log/log, not log/other", "leave out --log")
    process = hmar("train", *LOG, "--min-user-events", 12, *RESUME)
    fails(process, "log/log has changed since copy was started")
    process = hmar("train", "--dataset", "synthetic_shop/tiny", *RESUME)
    fails(process, "copy was started with log/log, not synthetic_shop/tiny", "leave out --dataset")
    fails(hmar("train", "--dataset", "unknown", *RESUME), "unknown dataset 'unknown'")


@pytest.mark.slow
def test_a_touched_log_is_the_same_data(hmar, home, lines, copy, tmp_path):
    (home / "log.csv").write_text("\n".join(lines) + "\n")
    process = hmar("train", *LOG, *RESUME)
    assert process.returncode == 0, process.stderr


@pytest.mark.slow
def test_a_run_without_a_fingerprint_is_known_by_its_counts(hmar, home, lines, copy):
    settings = json.loads((copy / "run.json").read_text())
    del settings["fingerprint"], settings["prepared"]
    write_json(copy / "run.json", settings)
    (home / "log.csv").write_text("\n".join(later(lines)))
    process = hmar("evaluate", "copy")
    assert process.returncode == 0, process.stderr
    (home / "log.csv").write_text("\n".join(grown(lines)))
    fails(hmar("evaluate", "copy"), "log/log has changed since copy was started")


@pytest.mark.slow
def test_results_of_other_questions_are_not_reused(hmar, home, copy):
    assert hmar("evaluate", "copy").returncode == 0
    metrics = json.loads((copy / "metrics.json").read_text())
    best = {**metrics["validation"], "HMAR": pretended(metrics["validation"]["HMAR"])}
    write_json(copy / "metrics.json", {**metrics, "validation": best})
    asked = ("export", "copy", "--name", "blessed", "--bless")
    assert hmar(*asked).returncode == 0
    metadata = json.loads((home / "saved_models" / "blessed" / "1" / METADATA).read_text())
    settings = json.loads((copy / "run.json").read_text())
    assert metadata["fingerprint"] == metrics["fingerprint"] == settings["fingerprint"]
    assert metadata["questions"] == metrics["questions"]
    others = {**metrics, "validation": best, "questions": "others"}
    write_json(copy / "metrics.json", others)
    fails(hmar(*asked), "not blessed")
    again = json.loads((copy / "metrics.json").read_text())
    assert again["validation"] == metrics["validation"]
    assert again["questions"] == metrics["questions"]


def pretended(results):
    """Returns the results of a model that answers every question correctly."""
    return {
        protocol: {name: 1.0 if "@" in name else value for name, value in metrics.items()}
        for protocol, metrics in results.items()
    }
