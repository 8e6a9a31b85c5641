"""Which versions are live and when they are freed, with stand-ins for models."""

import gc
import os
import shutil
import threading
import weakref

import pytest

from pipelines.runtime.errors import InputError
from pipelines.serving import served_model
from pipelines.serving.request_error import RequestError
from pipelines.serving.served_model import ServedModel


class Version:
    """A stand-in for a loaded version."""

    def __init__(self, directory):
        self.text = (directory / "saved_model.pb").read_text()
        if "broken" in self.text:
            raise OSError("half a file")
        self.itself = self  # a reference cycle, like a model that TensorFlow loads


def put(directory, number, text="whole"):
    (directory / str(number)).mkdir(parents=True, exist_ok=True)
    (directory / str(number) / "saved_model.pb").write_text(text)


@pytest.fixture(autouse=True)
def small_heap():
    """Lets the server's collections of garbage look at this test's objects alone."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def directory(tmp_path):
    put(tmp_path / "shop", 1)
    return tmp_path / "shop"


def model(directory, **options):
    events = []
    served = ServedModel(directory, say=events.append, load=Version, **options)
    return served, events


def latest(served):
    with served.lease() as (number, _):
        return number


def states(served):
    return {number: status.state for number, status in served.statuses().items()}


def test_the_latest_is_served_and_replaced(directory):
    put(directory, 9)
    put(directory, 10)
    (directory / ".exporting-1").mkdir()
    (directory / "11").write_text("no directory")
    served, events = model(directory)
    served.refresh()
    assert (latest(served), served.name) == (10, "shop")
    put(directory, 12)
    served.refresh()
    assert latest(served) == 12
    assert states(served) == {12: "AVAILABLE", 10: "END"}
    assert events == ["loaded version 10", "loaded version 12", "version 10 is no longer served"]
    served.refresh()
    assert len(events) == 3


def test_a_version_in_use_is_freed_when_its_last_request_has_ended(directory):
    served, _ = model(directory)
    served.refresh()
    with served.lease() as (number, version):
        freed = weakref.ref(version)
        with served.lease():  # ends first
            put(directory, 2)
            served.refresh()
        assert latest(served) == 2
        assert (number, version.text) == (1, "whole")
        assert states(served) == {2: "AVAILABLE", 1: "UNLOADING"}
        with pytest.raises(RequestError) as error, served.lease(version=1):
            pass
        assert error.value.code == "NOT_FOUND"
    del version
    served.refresh()
    assert freed() is None
    assert states(served) == {2: "AVAILABLE", 1: "END"}


def test_a_request_that_fails_gives_its_version_back(directory):
    served, _ = model(directory)
    served.refresh()
    with pytest.raises(ZeroDivisionError), served.lease() as (_, version):
        freed = weakref.ref(version)
        raise ZeroDivisionError
    del version
    put(directory, 2)
    served.refresh()
    gc.collect()
    assert freed() is None


def test_labelled_versions_stay(directory):
    put(directory, 2)
    served, _ = model(directory, labels={"stable": 1})
    served.refresh()
    put(directory, 3)
    served.refresh()
    assert states(served) == {3: "AVAILABLE", 2: "END", 1: "AVAILABLE"}
    with served.lease(label="stable") as (number, _):
        assert number == 1
    with served.lease(version=1) as (number, _):
        assert number == 1
    assert list(served.statuses(label="stable")) == [1]
    with pytest.raises(RequestError, match="stable") as error, served.lease(label="canary"):
        pass
    assert error.value.code == "INVALID_ARGUMENT"


def test_a_broken_version_is_said_once_and_the_live_one_stays(directory):
    served, events = model(directory)
    served.refresh()
    put(directory, 2, "broken")
    for _ in range(3):
        served.refresh()
    assert latest(served) == 1
    assert events[1:] == ["version 2 is not a complete export (OSError); version 1 stays"]
    assert served.statuses()[2].error == "OSError"
    put(directory, 3)
    served.refresh()
    assert latest(served) == 3


def test_a_version_that_was_still_being_copied_is_loaded_when_it_is_whole(directory):
    served, events = model(directory)
    served.refresh()
    put(directory, 2, "broken")
    served.refresh()
    put(directory, 2, "broken, but longer")
    served.refresh()  # still changing, so nothing is tried or reported
    assert len(events) == 2
    put(directory, 2, "whole at last")
    served.refresh()
    assert latest(served) == 1
    served.refresh()
    assert latest(served) == 2
    assert states(served) == {2: "AVAILABLE", 1: "END"}


def test_removing_the_latest_brings_back_the_one_before(directory):
    put(directory, 2)
    served, _ = model(directory)
    served.refresh()
    shutil.rmtree(directory / "2")
    served.refresh()
    assert latest(served) == 1
    assert states(served) == {2: "END", 1: "AVAILABLE"}


def test_an_empty_or_missing_directory_changes_nothing(directory):
    served, events = model(directory)
    served.refresh()
    shutil.rmtree(directory)
    served.refresh()
    served.refresh()
    assert latest(served) == 1
    assert len(events) == 2
    put(directory, 2)
    served.refresh()
    assert latest(served) == 2


@pytest.mark.parametrize(
    ("broken", "labels", "message"),
    [
        (False, {"stable": 7}, "stable=7"),
        (True, {}, "complete export"),
    ],
)
def test_what_cannot_be_started(directory, broken, labels, message):
    if broken:
        put(directory, 1, "broken")
    with pytest.raises(InputError, match=message):
        model(directory, labels=labels)[0].start()


def test_a_directory_without_versions_cannot_be_started(tmp_path, directory):
    with pytest.raises(InputError, match="hmar export"):
        model(tmp_path / "nowhere")[0].start()
    with pytest.raises(InputError, match=f"give {directory} as"):
        model(directory / "1")[0].start()


def test_the_directory_is_watched(directory):
    loaded = threading.Event()
    served = ServedModel(directory, say=lambda line: loaded.set() if "2" in line else None)
    served._load = Version
    served.start()
    put(directory, 2)
    assert loaded.wait(60)
    served.stop()
    served.join()
    assert served.is_stopping


def test_the_watcher_outlives_what_fails(directory, monkeypatch):
    loaded, said = threading.Event(), []
    served = ServedModel(directory, load=Version)

    def say(line):
        said.append(line)
        if "loaded version 2" in line:
            loaded.set()
        raise SystemExit(1) if len(said) % 2 else BrokenPipeError  # like Rich, or like print

    served._say = say
    monkeypatch.setattr(served_model, "_POLL_SECONDS", 0.01)
    served.start()
    real, failures = served_model._files, []

    def files(directory):
        if len(failures) < 3:
            failures.append(1)
            raise FileNotFoundError("removed while it is read")
        return real(directory)

    monkeypatch.setattr(served_model, "_files", files)
    put(directory, 2)
    assert loaded.wait(60)
    assert served.is_watching
    assert len(failures) == 3
    failed = "looking for versions failed and is retried"
    assert [failed in line for line in said] == [False, True, False, *[False] * (len(said) - 3)]
    served.stop()
    served.join()
    assert not served.is_watching


def test_files_that_vanish_while_they_are_listed_are_left_out(directory, monkeypatch):
    put(directory, 2)
    real = os.walk

    def walk(place):
        for row in real(place):
            yield row[0], row[1], [*row[2], "vanished"]

    monkeypatch.setattr(os, "walk", walk)
    assert len(served_model._files(directory / "2")) == 1
    assert served_model._files(directory / "nowhere") == ()


def test_numbers_that_int64_has_not_are_no_versions(directory):
    for name in (str(2**63), "9" * 200, "²", "٣", "-1"):
        (directory / name).mkdir()
        (directory / name / "saved_model.pb").write_text("whole")
    served, _ = model(directory)
    served.refresh()
    assert states(served) == {1: "AVAILABLE"}
    put(directory, 2**63 - 1)
    served.refresh()
    assert latest(served) == 2**63 - 1
