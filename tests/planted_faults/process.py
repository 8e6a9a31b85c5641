"""Runs pytest in processes of its own, most of them forked from one that has imported Keras.

Importing TensorFlow takes longer than most tests. What is forked has the libraries, but nothing of
this repository, so that it imports the copy with its fault.
"""

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

_LIBRARIES = (
    *("hypothesis", "pytest", "scipy.stats", "scipy.sparse.linalg", "pyarrow.parquet", "duckdb"),
    *("tensorflow", "keras", "tensorflow_datasets", "keras_tuner", "jax", "rich.progress", "typer"),
)
_OURS = ("hmar_keras", "pipelines", "tests")
_UNSET = ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTEST_ADDOPTS")
_USUAL = {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "1"}  # as hmar and the tests set
_NOT_OURS = 99  # the status of a fork that imported this repository and not the copy
_BETWEEN_LOOKS = 0.02

# What a run gives: the exit status, None after the time limit, and the output.
Run = tuple[int | None, str]


def import_libraries() -> None:
    """Imports what a fork then has; without this each fork imports it by itself."""
    for name, value in _USUAL.items():
        os.environ.setdefault(name, value)
    for name in _LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def run_fresh(arguments: Sequence[str], root: Path, scratch: Path, timeout: float) -> Run:
    """Runs `python` with arguments in a new process.

    Args:
        arguments: of Python.
        root: the copy of the repository, where it runs and what it imports.
        scratch: directory for temporary files.
        timeout: seconds.
    """
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=root,
        env=_environment(root, scratch),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        return None, ""
    finally:
        _kill_group(process.pid)
        process.wait()


def run_forked(arguments: Sequence[str], root: Path, scratch: Path, timeout: float) -> Run:
    """Runs pytest with arguments in a fork of this process; see `run_fresh`."""
    log = scratch.with_name("output.txt")
    child = os.fork()
    if child == 0:
        try:
            status = _pytest_in_fork(arguments, root, scratch, log)
        except BaseException:
            status = _NOT_OURS
        os._exit(status)
    status, end = None, time.monotonic() + timeout
    try:
        while status is None and time.monotonic() < end:
            time.sleep(_BETWEEN_LOOKS)
            done, found = os.waitpid(child, os.WNOHANG)
            status = os.waitstatus_to_exitcode(found) if done else None
    finally:
        _kill_group(child)
        if status is None:
            os.waitpid(child, 0)
    return status, log.read_text(encoding="utf-8", errors="replace")


def _pytest_in_fork(arguments, root, scratch, log):
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    output = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(output, stream)
    before = os.getcwd()
    os.chdir(root)
    os.environ.clear()
    os.environ.update(_environment(root, scratch))
    tempfile.tempdir = None  # found anew
    sys.dont_write_bytecode, sys.pycache_prefix = False, None
    for name in [name for name in sys.modules if name.partition(".")[0] in _OURS]:
        del sys.modules[name]
    sys.path[:] = [str(root), *(each for each in sys.path if each not in ("", before))]
    importlib.invalidate_caches()

    import pytest

    status = int(pytest.main([*arguments]))
    sys.stdout.flush()
    package = sys.modules.get("hmar_keras")
    is_copy = package is None or Path(package.__file__).is_relative_to(root)
    return status if is_copy else _NOT_OURS


def _environment(root, scratch):
    kept = {name: value for name, value in os.environ.items() if name not in _UNSET}
    return {**kept, "PYTHONPATH": str(root), "TMPDIR": str(scratch)}


def _kill_group(leader):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
