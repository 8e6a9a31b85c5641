"""A run survives a damaged file, a second process and a full disk."""

import json
import shutil
import subprocess
import sys
from collections import namedtuple

import pytest

from pipelines.protocol.splits import split
from pipelines.runtime.errors import InputError
from pipelines.storage import artefacts
from pipelines.training.fit import best_epoch, train
from pipelines.training.run_config import RunConfig
from pipelines.training.run_directory import RunDirectory, new_directory
from pipelines.training.validation import MONITORED
from pipelines.workflow import runs as workflow

from ..runs import without_times

SETTINGS = {
    "dataset": "test_log", "data_dir": None, "log": None, "statistics": {}, "versions": {},
    "seed": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory, log):
    """Returns a run of three epochs and its configuration."""

    config = RunConfig.of(
        log.num_items, log.behaviors, dim=8, max_length=6, batch_size=16, epochs=3
    )
    run = RunDirectory.create(tmp_path_factory.mktemp("home") / "run", SETTINGS, config)
    train(split(log), config, run, 0)
    return run, config


@pytest.fixture
def copied(trained, tmp_path):
    """Returns a copy of the run."""
    shutil.copytree(trained[0].path, tmp_path / "run")
    return RunDirectory(tmp_path / "run")


def read_everything(run):
    """Reads everything that commands read from a run."""
    RunDirectory.open(run.path)
    run.settings()
    run.history()
    run.metrics()
    workflow.load_model(run)


def damages(content):
    """Yields the content emptied, cut, flipped and replaced."""
    middle = len(content) // 2
    yield b""
    yield content[:middle]
    yield content[:-1]
    yield content[:middle] + bytes([content[middle] ^ 0x20]) + content[middle + 1 :]
    yield b"something else"
    for text in ("[]", "{}", "7", "null", "[[" * 50_000, '[{"epoch": 1}]', '{"seed": "x"}'):
        yield text.encode()


@pytest.mark.slow
@pytest.mark.parametrize("checked", [True, False])
def test_damaged_files_are_one_sentence(copied, checked):
    files = [path for path in copied.path.iterdir() if path.suffix in (".json", ".keras")]
    assert len(files) == 4
    for path in files:
        content, checksum = path.read_bytes(), path.with_name(path.name + ".sha256")
        digest = checksum.read_text()
        if not checked:
            checksum.unlink()
        for damaged in damages(content):
            path.write_bytes(damaged)
            if checked:
                with pytest.raises(InputError, match=path.name):
                    read_everything(copied)
                    copied.config()
            else:
                try:
                    read_everything(copied)
                    copied.config()
                except InputError as error:
                    assert str(path) in str(error)
        path.write_bytes(content)
        checksum.write_text(digest)
    read_everything(copied)


@pytest.mark.parametrize("value", [float("nan"), "high", None, [], True, 10**400])
def test_a_score_that_is_no_number_is_named(copied, value):
    history = copied.history()
    history[1][MONITORED] = value
    copied.write_json("history.json", history)
    with pytest.raises(InputError, match=r"history\.json is damaged \(val_score of epoch 2"):
        copied.history()


def test_a_resume_that_fails_keeps_the_model(copied, trained, log):
    config = trained[1].replace(epochs=6, patience=50)
    model = copied.model.read_bytes()
    for path in (copied.path / "checkpoints").glob("*.h5"):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"checkpoint.*start a new run"):
        train(split(log), config, copied, 0)
    assert copied.model.read_bytes() == model
    workflow.load_model(copied)


@pytest.mark.slow
def test_an_older_checkpoint_is_taken_with_the_same_result(tmp_path, trained, copied, log, capsys):
    config = trained[1].replace(epochs=5, patience=50)
    history = copied.history()
    best = best_epoch(history)
    if best == len(history):
        pytest.skip("the last epoch is the best")
    damaged = copied.checkpoint(len(history))
    shutil.copytree(copied.path, tmp_path / "whole")
    whole = RunDirectory(tmp_path / "whole")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    train(split(log), config, copied, 0)
    assert f"Continuing after epoch {best}" in capsys.readouterr().err
    train(split(log), config, whole, 0)
    assert without_times(copied) == without_times(whole)


HOLDS = """
import sys
from pipelines.training.run_directory import RunDirectory
with RunDirectory(sys.argv[1]).held():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.process
def test_a_run_is_trained_by_one_process(copied, trained, log):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, copied.path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another process"):
            train(split(log), trained[1], copied, 0)
    finally:
        holder.kill()
        holder.communicate()
    with copied.held(), copied.held():  # a killed process holds no lock
        pass


def test_a_run_killed_while_it_was_made_can_be_started(tmp_path, config):
    whole = RunDirectory.create(tmp_path / "whole", SETTINGS, config)
    names = ["checkpoints", "run.lock", "config.json", "config.json.sha256", "run.json.sha256"]
    for number in range(1, len(names) + 1):
        path = tmp_path / str(number)
        path.mkdir()
        (path / ".1234567-run.json").touch()
        for name in names[:number]:
            source = whole.path / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, path / name)
        assert RunDirectory.create(path, SETTINGS, config).settings() == SETTINGS
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")  # not from a run
    with pytest.raises(InputError, match="exists"):
        RunDirectory.create(tmp_path / "mine", SETTINGS, config)


Usage = namedtuple("Usage", "total used free")


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_a_rerun_goes_on(tmp_path, trained, log, monkeypatch):
    run = RunDirectory.create(tmp_path / "run", SETTINGS, trained[1])
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda path: Usage(10, 10, 5_000_000))
        with pytest.raises(InputError, match=r"5 MB free and .* MB are needed; free .* MB"):
            train(split(log), trained[1], run, 0)
    assert run.history() == []
    assert [path.name for path in run.path.rglob(".*")] == []
    assert list((run.path / "checkpoints").iterdir()) == []
    train(split(log), trained[1], run, 0)
    assert without_times(run) == without_times(trained[0])


@pytest.mark.parametrize("state", ["neither", "checksum", "both"])
def test_a_writer_may_be_killed_between_an_artefact_and_its_checksum(tmp_path, state):
    path, checksum = tmp_path / "a.json", tmp_path / "a.json.sha256"
    artefacts.write_json(path, 1)
    old = path.read_bytes(), checksum.read_text()
    artefacts.write_json(path, 2)
    new = path.read_bytes(), checksum.read_text()
    path.write_bytes(new[0] if state == "both" else old[0])
    checksum.write_text(old[1] if state == "neither" else new[1])
    found = artefacts.read_json(path, lambda content: None, "restore it")
    assert found == (2 if state == "both" else 1)
    path.write_text(json.dumps(3))
    with pytest.raises(InputError, match="checksum"):
        artefacts.read_json(path, lambda content: None, "restore it")


def test_what_a_process_leaves_that_is_killed_before_anything_stands_is_nothing(tmp_path):
    for name in ("experiment.json.sha256", ".123-experiment.json", ".check"):
        (tmp_path / name).write_text("")
    new_directory(tmp_path)
    (tmp_path / "experiment.json").write_text("")
    with pytest.raises(InputError, match="exists"):
        new_directory(tmp_path)
