"""Kills commands where they rename files or make directories, and runs them again.

    python -m tests.pipelines.faults.kills [COMMAND ...]

kills the commands at every such place, which takes an hour; `test_kills.py` covers some places.
SIGKILL leaves the disk as it is at that moment, so a copy of the directory at each place of one run
stands for a killed process. Here the chief and the worker of a search are one process.
"""

import contextlib
import csv
import dataclasses
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from unittest import mock

import h5py
import keras
import numpy as np

EVENTS = "user,item,behavior,time\n" + "".join(
    f"u{user},i{(user * 7 + step * step) % 23},{('view', 'buy')[step % 3 == 2]},{1000 + step}\n"
    for user in range(40)
    for step in range(9)
)
SMALL = ("dim=8", "max_length=4", "batching=mixed", "num_sequence_blocks=1")
TINY = ("--dataset", "synthetic_shop/tiny", *(part for each in SMALL for part in ("--set", each)))
SASREC = ("--model", "sasrec", *TINY)  # the quickest to compile
LOG = ("--log", "events.csv", "--user", "user", "--item", "item", "--behavior", "behavior")
# In order of dependency.
COMMANDS = {
    "prepare": ("data", "prepare", *LOG, "--time", "time", "--target", "buy"),
    "train": ("train", *SASREC, "--epochs", "2", "--output", "run"),
    "resume": ("train", *SASREC, "--epochs", "3", "--output", "run", "--resume"),
    "evaluate": ("evaluate", "run"),
    "export": ("export", "run", "--models", "models", "--name", "shop"),
    "rollout": ("rollout", "--name", "shop", "--models", "models", "--output", "serving"),
    "report": ("report", "run"),
    "experiment": (
        "experiment", *TINY, "--suite", "protocol", "--seeds", "1", "--epochs", "1",
        "--output", "experiment",
    ),
    "tune": (
        "tune", *SASREC, "--algorithm", "random", "--max-trials", "2", "--epochs", "1",
        "--over", "dropout", "--output", "tuning",
    ),
}  # fmt: skip
# Random parts of names, and the hash in the name of prepared data.
_RANDOM = re.compile(r"(\.exporting-|scratch\.|incomplete\.|-(?=[0-9a-f]{16}))[^/]+")
_VARYING = ("seconds", "created", "date_saved")
# TensorFlow's files, never the same twice, and checksums, which are compared with their files.
_UNCOMPARED = ("saved_model.pb", "fingerprint.pb", "checksums.json", "keras_metadata.pb")
_DATA_OF_VARIABLES = "variables.data-00000-of-00001"  # its order depends on the process


@dataclasses.dataclass(frozen=True)
class Place:
    """A place where a command is killed.

    Args:
        command: name in `COMMANDS`.
        call: `rename`, `replace` or `mkdir`.
        target: the path it creates, relative to the home directory.
        number: which of the calls with this target, from 1.
        side: `before` or `after` the call.
    """

    command: str
    call: str
    target: str
    number: int
    side: str

    def __str__(self):
        return f"{self.command}: {self.side} {self.call} {self.number} of {self.target}"


def run(home, arguments):
    """Runs `hmar` in this process; returns its status and its stderr."""
    from pipelines.cli.app import main

    stderr, status = io.StringIO(), 0
    with (
        contextlib.chdir(home),
        mock.patch.dict(os.environ, {"HMAR_CACHE": str(home / "cache"), "COLUMNS": "100"}),
        mock.patch.object(sys, "argv", ["hmar", *arguments]),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(stderr),
    ):
        try:
            tune() if arguments[0] == "tune" else main()
        except SystemExit as end:
            status = end.code or 0
    return status, stderr.getvalue()


def tune():
    """Does what `hmar tune` does, with the chief and its worker in one process."""
    from pipelines.protocol.splits import split
    from pipelines.runtime.errors import InputError
    from pipelines.tuning.request import Asked, create, resumed
    from pipelines.tuning.trial_runner import TrialRunner
    from pipelines.tuning.trials import read_trials, write_trials
    from pipelines.workflow.request import Request

    request = Request("synthetic_shop/tiny", assignments=SMALL, epochs=1, model="sasrec")
    asked = Asked("random", None, 2, None, ("dropout",))
    resume = "--resume" in sys.argv
    try:
        tuning, data = (resumed if resume else create)(request, asked, "tuning")
        splits = split(data, tuning.space.base.split.holdout)
        of_trials = (splits, tuning.source, tuning.content["seed"], tuning.hardware)
        TrialRunner(tuning.path, tuning.oracle(), tuning.space, *of_trials).search()
        objective = tuning.content["objective"]
        write_trials(tuning.path, read_trials(tuning.path), tuning.space, objective)
    except InputError as error:
        print(f"hmar: {error}", file=sys.stderr)
        sys.exit(2)


def run_again(home, command):
    """Acts as a user after a kill: runs the same command, with --resume if it says so."""
    keras.utils.clear_session(free_memory=True)
    status, said = run(home, COMMANDS[command])
    if status == 2 and "--resume" in said:
        status, said = run(home, [*COMMANDS[command], "--resume"])
    assert status == 0, said


@contextlib.contextmanager
def at_places(command, home, reached):
    """Calls `reached(place)` before and after every rename and every `mkdir` in `home`."""
    counts, busy = {}, []

    def watched(call, original):
        def function(*arguments, **options):
            path = os.path.abspath(os.fspath(arguments[call != "mkdir"]))
            if busy or options or not path.startswith(f"{home}{os.sep}"):
                return original(*arguments, **options)
            target = _RANDOM.sub(r"\1*", os.path.relpath(path, home))
            number = counts[call, target] = counts.get((call, target), 0) + 1
            for side in ("before", "after"):
                if side == "after":
                    result = original(*arguments)
                busy.append(True)
                reached(Place(command, call, target, number, side))
                busy.pop()
            return result

        return function

    with contextlib.ExitStack() as patches:
        for call in ("rename", "replace", "mkdir"):
            patches.enter_context(mock.patch.object(os, call, watched(call, getattr(os, call))))
        yield


def copied_at_places(command, home, copies, wanted=None):
    """Runs a command to the end in `home`, copying it at the wanted places.

    Returns:
        by place, a copy of `home` in `copies` as a process killed there leaves it, None for places
        that are not wanted; all places are wanted if `wanted` is None.
    """
    found = {}

    def reached(place):
        found[place] = None
        if wanted is None or place in wanted:
            found[place] = copies / f"{command}-{len(found)}"
            shutil.copytree(home, found[place])

    ended = subprocess.Popen(["true"])
    ended.wait()
    # The names of temporary files contain the process id, and a killed process no longer has it.
    with mock.patch.object(os, "getpid", lambda: ended.pid), at_places(command, home, reached):
        status, said = run(home, COMMANDS[command])
    assert status == 0, said
    return found


def contents(home):
    """Returns the contents of a directory by name, without what differs between equal runs."""
    found = {}
    for path in sorted(home.rglob("*")):
        name = str(path.relative_to(home))
        if "tensorboard" in name:  # a log, with other files in every process
            continue
        found[name] = "directory" if path.is_dir() else _content(path)
    return found


def _content(path):
    if path.suffix == ".sha256" and path.name != "content.sha256":
        digest = hashlib.sha256(path.with_suffix("").read_bytes()).hexdigest()
        return digest in path.read_text().split()
    if path.name in (*_UNCOMPARED, _DATA_OF_VARIABLES):
        return "file"
    if path.suffix == ".json":
        return _steady(json.loads(path.read_text()))
    if path.suffix == ".csv":
        rows = csv.DictReader(io.StringIO(path.read_text()))
        return [_steady(row) for row in rows]
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            return _arrays(io.BytesIO(archive.read("model.weights.h5")))
    if path.suffix == ".h5":
        return _arrays(path)
    if path.name == "variables.index":
        return _variables(path)
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: arrays[name].tobytes() for name in arrays.files}
    if path.suffix in (".html", ".md"):
        return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", path.read_text())
    return path.read_bytes()


def _variables(path):
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(path.with_suffix("")))
    values = [reader.get_tensor(name) for name in reader.get_variable_to_shape_map()]
    # Skips the object graph, which is text. Names depend on what a process created before.
    return sorted(value.tobytes() for value in values if isinstance(value, np.ndarray))


def _arrays(file):
    arrays = {}

    def keep(name, node):
        if isinstance(node, h5py.Dataset):
            arrays[name] = node[()].tobytes()

    with h5py.File(file) as opened:
        opened.visititems(keep)
    return arrays


def _steady(content):
    if isinstance(content, dict):
        return {key: _steady(of) for key, of in content.items() if key not in _VARYING}
    return [_steady(each) for each in content] if isinstance(content, list) else content


def differences(expected, found):
    """Returns the names whose contents differ, or that only one of the two has.

    A second export of the same model, after a kill following the first, must equal the first.
    """
    second = "models/shop/2"
    again = {name: of for name, of in found.items() if name.startswith(second)}
    same = {name.replace(second, "models/shop/1", 1): of for name, of in again.items()}
    rest = {name: of for name, of in found.items() if name not in again}
    wrong = {name for name, of in same.items() if expected.get(name) != of}
    names = expected.keys() | rest.keys()
    return sorted(wrong | {name for name in names if expected.get(name) != rest.get(name)})


def move_in(home, copy):
    """Replaces `home` with a copy, because a command that runs again must find the same paths."""
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(copy, home)


def new_home(parent):
    """Creates the directory that all commands run in."""
    home = Path(parent).resolve() / "home"
    home.mkdir()
    (home / "events.csv").write_text(EVENTS)
    return home


def main():
    """Kills commands at every place; the exit status is 1 if a rerun differs."""
    wanted, number, wrong = sys.argv[1:] or list(COMMANDS), 0, 0
    with tempfile.TemporaryDirectory() as parent:
        home = new_home(parent)
        for command in COMMANDS:
            copies = Path(parent) / command
            copies.mkdir()
            of_interest = None if command in wanted else ()
            found = copied_at_places(command, home, copies, of_interest)
            shutil.copytree(home, copies / "whole")
            expected = contents(home)
            for place, copy in found.items() if command in wanted else ():
                start = time.monotonic()
                move_in(home, copy)
                try:
                    run_again(home, command)
                    differing = differences(expected, contents(home))
                except AssertionError as error:
                    differing = [str(error)]
                number, wrong = number + 1, wrong + bool(differing)
                outcome = "; ".join(differing[:8]) or "the same"
                print(f"{place}: {outcome} ({time.monotonic() - start:.1f} s)", flush=True)
            move_in(home, copies / "whole")
            shutil.rmtree(copies)
    print(f"{number} kills, {wrong} of them with another result")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
