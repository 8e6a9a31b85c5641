"""Commands on full, filling and read-only disks, which are mounted where that is allowed.

By default some commands, with one size each; HMAR_TEST_DISKS=1 tests all.
"""

import os
import shutil
import subprocess

import pytest

from pipelines.storage.disk_errors import disk_sentence

from ..commands import fails_last

pytestmark = pytest.mark.slow

TINY = ["--dataset", "synthetic_shop/tiny", "--set", "dim=4", "--set", "max_length=6"]
NEW = ["--epochs", 1, "--output", "{disk}/new"]
ALL = os.environ.get("HMAR_TEST_DISKS")


@pytest.fixture
def disk(tmp_path):
    """Returns a function that mounts a disk of a given size, or remounts it with other options."""
    path = tmp_path / "disk"
    path.mkdir()

    def mount(options):
        kind = [] if os.path.ismount(path) else ["-t", "tmpfs", "none"]
        done = subprocess.run(["mount", "-o", options, *kind, path], capture_output=True)
        if done.returncode:
            pytest.skip("a disk cannot be mounted here")
        return path

    yield mount
    while os.path.ismount(path):
        subprocess.run(["umount", path], check=True)


def fill(path, free):
    """Fills a disk until `free` bytes are left."""
    (path / "filler").write_bytes(b"\0" * (shutil.disk_usage(path).free - free))


def files(path):
    return sorted(each for each in path.rglob("*") if each.name != "filler")


@pytest.fixture(scope="module")
def trained(hmar):
    """Trains and exports a run; returns the run's directory."""
    assert hmar("train", *TINY, "--epochs", 1, "--output", "run").returncode == 0
    assert hmar("export", "run", "--name", "shop").returncode == 0
    return hmar.home / "run"


# By name: the arguments, and whether a run must be on the disk.
COMMANDS = {
    "prepare": (["data", "describe", "synthetic_shop/tiny", "--output", "shop.png"], False),
    "train": (["train", *TINY, *NEW], False),
    "resume": (["train", "--resume", "--epochs", 2, "--output", "{disk}/run"], True),
    "evaluate": (["evaluate", "{disk}/run"], True),
    "export": (["export", "run", "--models", "{disk}/models"], False),
    "report": (["report", "{disk}/run"], True),
    "rollout": (["rollout", "--name", "shop", "--output", "{disk}/rollout"], False),
    "experiment": (
        ["experiment", *TINY, "--suite", "protocol", "--seeds", 1, *NEW],
        False,
    ),
    "tune": (
        ["tune", *TINY, "--over", "theta", "--max-trials", 1, *NEW],
        False,
    ),
}
QUICK = [("prepare", 0), ("evaluate", 0), ("export", 100_000), ("rollout", 0), ("resume", 100_000)]
READ_ONLY = [(name, None) for name in ("prepare", "evaluate", "export", "rollout", "resume")]
WHOLE = [(name, free) for name in COMMANDS for free in (None, 0, 200_000, 2_000_000)]


@pytest.mark.parametrize(("name", "free"), WHOLE if ALL else QUICK + READ_ONLY)
def test_a_full_or_read_only_disk_is_one_sentence(hmar, trained, disk, name, free):
    arguments, needs_run = COMMANDS[name]
    path = disk("size=100m")
    if needs_run:
        shutil.copytree(trained, path / "run")
    arguments = [str(each).replace("{disk}", str(path)) for each in arguments]
    extra = {"HMAR_CACHE": str(path / "cache")} if name == "prepare" else {}
    fill(path, free) if free is not None else disk("remount,ro")
    before = files(path)
    process = hmar(*arguments, **extra)
    if process.returncode:  # a small file may still fit
        fails_last(process)
        left = [each for each in files(path) if each not in before and each.is_file()]
        assert not [each for each in left if each.name[0] == "." or "incomplete" in str(each)]
    if free is None:
        disk("remount,rw")
    else:
        (path / "filler").unlink()
    process = hmar(*arguments, **extra)
    if process.returncode and "--resume" in process.stderr:
        process = hmar(*arguments, "--resume", **extra)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        RuntimeError("Unable to write (errno = 28, error message = 'No space left on device')"),
        ValueError("IO Error: Could not write file: Read-only file system"),
        RuntimeError("failed to offload data block; set by the 'max_temp_directory_size' setting"),
    ],
)
def test_errors_of_libraries_are_recognised(error):
    assert disk_sentence(error).startswith("a disk cannot be written (")
    try:
        raise KeyError("something") from error
    except KeyError as raised:
        assert disk_sentence(raised) == disk_sentence(error)
    assert disk_sentence(ValueError("something else")) is None
