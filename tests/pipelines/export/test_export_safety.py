"""Exports that are damaged, interrupted, or run at the same time as another."""

import fcntl
import os
import shutil
import signal
from collections import namedtuple

import numpy as np
import pytest

from pipelines.export import export, make_temporary, saved_model
from pipelines.export.checksums import CHECKSUMS, check_export, write_checksums
from pipelines.export.loaded_export import Recommender
from pipelines.runtime.errors import InputError

Usage = namedtuple("Usage", "total used free")


def write(model, log, directory):
    return export(model, log.items, np.zeros(log.num_items + 1), directory, {})


def test_changed_and_missing_files_are_noticed(tmp_path):
    (tmp_path / CHECKSUMS.parent).mkdir()
    for name in ("saved_model.pb", "assets.extra/hmar.json"):
        (tmp_path / name).write_text("whole")
    write_checksums(tmp_path)
    check_export(tmp_path)
    for name in ("saved_model.pb", "assets.extra/hmar.json"):
        (tmp_path / name).write_text("while")
        with pytest.raises(InputError, match=name):
            check_export(tmp_path)
        (tmp_path / name).unlink()
        with pytest.raises(InputError, match=name):
            check_export(tmp_path)
        (tmp_path / name).write_text("whole")
    check_export(tmp_path)


@pytest.mark.slow
def test_damaged_files_are_one_sentence(version, tmp_path):
    copied = tmp_path / "1"
    shutil.copytree(version, copied)
    files = [path for path in copied.rglob("*") if path.is_file()]
    assert len(files) >= 6
    for path in files:
        content = path.read_bytes()
        if not content:
            continue
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        for damaged in (b"", content[:middle], content[:-2], flipped, b"[" * 100_000):
            path.write_bytes(damaged)
            with pytest.raises(InputError, match=r"restore it|holds no exported model"):
                Recommender(copied)
        path.unlink()
        if path.name != "checksums.json":
            with pytest.raises(InputError, match=r"restore it|holds no exported model"):
                Recommender(copied)
        path.write_bytes(content)
    check_export(copied)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "damaged"),
    [
        ("assets.extra/hmar.json", b"[" * 100_000),
        ("assets.extra/hmar.json", b"[]"),
        ("assets.extra/hmar.json", b'{"config": {"behaviors": {"names": 7}}}'),
        ("assets/items.txt", b"i1\ni2\n"),
        ("variables/variables.index", b"nothing"),
        ("saved_model.pb", b""),
    ],
)
def test_damage_shows_without_checksums_as_well(version, tmp_path, name, damaged):
    copied = tmp_path / "1"
    shutil.copytree(version, copied)
    (copied / "assets.extra" / "checksums.json").unlink()
    (copied / name).write_bytes(damaged)
    with pytest.raises(InputError, match="complete export"):
        Recommender(copied)


def test_two_exporters_that_meet_at_one_number_keep_both(tmp_path, monkeypatch):
    exports = [tmp_path / "first", tmp_path / "second"]
    for path in exports:
        path.mkdir()
        (path / "saved_model.pb").write_text(path.name)
    models = tmp_path / "models"
    models.mkdir()
    assert saved_model._publish(exports[0], models).name == "1"
    answers = iter([[], [1]])  # the second looks before and after the first finishes
    monkeypatch.setattr(saved_model, "versions", lambda path: next(answers))
    assert saved_model._publish(exports[1], models).name == "2"
    assert [(models / name / "saved_model.pb").read_text() for name in "12"] == ["first", "second"]


def test_what_killed_exports_left_is_removed_and_what_living_ones_write_is_not(tmp_path):
    for name in (".exporting-killed", ".exporting-living"):
        (tmp_path / name / "complete").mkdir(parents=True)
    descriptor = os.open(tmp_path / ".exporting-living", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with make_temporary(tmp_path) as own:
        names = {path.name for path in tmp_path.iterdir()}
        assert names == {".exporting-living", own.name}
    os.close(descriptor)
    with make_temporary(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_that_is_lost_in_what_tensorflow_calls_back_ends_the_export(
    model, log, tmp_path, monkeypatch
):
    written = saved_model.write_card
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def write_card(*arguments):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            written(*arguments)
        except KeyboardInterrupt:  # like a callback whose errors are only printed
            written(*arguments)

    monkeypatch.setattr(saved_model, "write_card", write_card)
    try:
        with pytest.raises(KeyboardInterrupt):
            write(model, log, tmp_path / "models")
    finally:
        signal.signal(signal.SIGINT, before)
    assert list((tmp_path / "models").iterdir()) == []


def test_a_full_disk_is_one_sentence(model, log, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10, 10, 3_000_000))
    with pytest.raises(InputError, match=r"3 MB free and .* MB are needed; free .* MB"):
        write(model, log, tmp_path / "models")
    assert not (tmp_path / "models").exists()
