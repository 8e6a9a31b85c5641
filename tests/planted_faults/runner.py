"""Runs tests against a copy of the repository that has one fault at a time."""

import contextlib
import dataclasses
import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from .fault import ROOT, Fault
from .process import import_libraries, run_forked, run_fresh

_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
_REASON = re.compile(r"^[ |]*E +(\S.*)$", re.MULTILINE)
_WHERE = "import hmar_keras, pipelines; print(hmar_keras.__file__, pipelines.__file__, sep='\\n')"
# What pytest ends with; 2 also where a module cannot be imported.
_PASSED, _FAILURES, _NO_TEST = 0, (1, 2), 5
_SHOWN = 3000  # characters of pytest's output in an error
_BASELINE_SECONDS = 3 * 3600


class RunnerError(Exception):
    """The faults cannot be judged: what is wrong is not in the tests."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the tests said about one fault.

    Args:
        name: of the fault.
        area: of the fault.
        file: of the fault.
        caught_by: the first test that failed, `"timeout"`, `"crash"`, or None if all passed.
        reason: the first line of its error, why none was caught, or None.
        seconds: that the tests took.
    """

    name: str
    area: str
    file: str
    caught_by: str | None
    reason: str | None
    seconds: float


@dataclasses.dataclass(frozen=True)
class Failure:
    """A test that failed, and the first line of its error."""

    test: str
    reason: str | None = None


class Copy:
    """A copy of the repository in which tests run.

    Args:
        directory: an empty directory.
        markers: a marker expression for pytest, None for that of the quick suite.
        timeout: seconds after which tests are stopped.
        fresh: whether each run starts Python anew and does not fork this process.
    """

    def __init__(self, directory: Path, markers: str | None, timeout: float, fresh: bool = False):
        self._root = directory / "repository"
        self._scratch = directory / "scratch"
        self._markers = _quick_markers() if markers is None else markers
        self._timeout = timeout
        self._fresh = fresh
        # Bytecode is recognised by the second of change and the size, so each text gets a second.
        self._times = itertools.count(int(time.time()) + 1)
        _copy_repository(self._root)
        self._check_imports()
        if not fresh:
            import_libraries()

    @contextlib.contextmanager
    def with_fault(self, fault: Fault) -> Iterator[None]:
        """Writes a fault into the copy, and restores the file at the end."""
        path = self._root / fault.file
        whole, damaged = path.read_text(encoding="utf-8"), fault.damaged(self._root)
        self._write(path, damaged)
        try:
            yield
        finally:
            self._write(path, whole)

    def failures(
        self,
        tests: Sequence[str],
        at_most: int = 0,
        more: str = "",
        timeout: float | None = None,
    ) -> list[Failure] | None:
        """Runs tests.

        Args:
            tests: files, directories or node ids; empty for the whole suite.
            at_most: stops after so many failures; 0 for never.
            more: a marker whose tests run, too.
            timeout: seconds, None for that of the copy.

        Returns:
            what failed, or one failure that is called `"timeout"` or `"crash"`; None if the
            markers leave no test.

        Raises:
            RunnerError: if pytest could not run them.
        """
        # Without a marker expression a node id would run whatever its markers.
        markers = f"({self._markers}) or {more}" if self._markers and more else self._markers
        # The tests of the list itself notice every fault.
        chosen = [*tests] or ["tests", "--ignore=tests/planted_faults"]
        options = ["-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", f"--maxfail={at_most}"]
        status, output = self._pytest([*options, "-m", markers, *chosen], timeout or self._timeout)
        if status == _PASSED:
            return []
        if status == _NO_TEST:
            return None
        if status is None:
            return [Failure("timeout")]
        if status < 0:  # killed by a signal, as a segmentation fault is
            return [Failure("crash")]
        failed = _FAILED.findall(output)
        if status not in _FAILURES or not failed:
            raise RunnerError(f"pytest ended with status {status}:\n{output[-_SHOWN:]}")
        reason = _REASON.search(output)  # of the first test
        reasons = [reason[1] if reason else None, *[None] * (len(failed) - 1)]
        return [Failure(*each) for each in zip(failed, reasons, strict=True)]

    def _write(self, path, text):
        path.write_text(text, encoding="utf-8")
        os.utime(path, (moment := next(self._times), moment))

    def _check_imports(self):
        """Checks that tests import the copy, as the package may be installed from elsewhere."""
        self._clear()
        _, output = run_fresh(["-c", _WHERE], self._root, self._scratch, _BASELINE_SECONDS)
        for line in output.strip().splitlines()[-2:] or [""]:
            if not Path(line).is_relative_to(self._root):
                raise RunnerError(f"the copy in {self._root} is not what is imported:\n{output}")

    def _pytest(self, arguments, timeout):
        self._clear()
        if not self._fresh:
            status, output = run_forked(arguments, self._root, self._scratch, timeout)
            if status is not None and status >= 0:
                return status, output
            self._clear()  # a new process decides whether it was the fork
        arguments = ["-m", "pytest", *arguments]
        return run_fresh(arguments, self._root, self._scratch, timeout)

    def _clear(self):
        """Removes what an earlier run left: temporary files, examples of Hypothesis."""
        for left_over in (self._scratch, self._root / ".hypothesis"):
            shutil.rmtree(left_over, ignore_errors=True)
        self._scratch.mkdir()


@contextlib.contextmanager
def temporary_copy(markers: str | None, timeout: float, fresh: bool) -> Iterator[Copy]:
    """Makes a `Copy`, and removes it at the end, also after Ctrl-C or SIGTERM."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with tempfile.TemporaryDirectory(prefix="planted-faults-") as directory:
            yield Copy(Path(directory).resolve(), markers, timeout, fresh)
    finally:
        signal.signal(signal.SIGTERM, before)


def run_fault(copy: Copy, fault: Fault, whole: bool) -> Outcome:
    """Runs the likely tests of a fault, then the whole suite if they pass and `whole` is set."""
    start = time.monotonic()
    with copy.with_fault(fault):
        found = copy.failures(fault.likely, 1, fault.marker)
        none_ran = found is None
        if not found and whole:
            found = copy.failures((), 1)
    seconds = round(time.monotonic() - start, 1)
    first = found[0] if found else Failure("", "no likely test ran" if none_ran else None)
    caught_by = first.test or None
    return Outcome(fault.name, fault.area, fault.file, caught_by, first.reason, seconds)


def check_baseline(copy: Copy, faults: Sequence[Fault], whole: bool) -> None:
    """Checks that the tests pass without any fault.

    Raises:
        RunnerError: if one fails, naming all that do.
    """
    likely: dict[str, dict[str, None]] = {}
    for fault in faults:
        likely.setdefault(fault.marker, {}).update(dict.fromkeys(fault.likely))
    failed = [
        failure.test
        for marker, tests in likely.items()
        for failure in copy.failures([*tests], more=marker, timeout=_BASELINE_SECONDS) or ()
    ]
    if whole:
        failed += [each.test for each in copy.failures((), timeout=_BASELINE_SECONDS) or ()]
    if failed:
        raise RunnerError(
            "these tests fail without any fault, so faults would prove nothing:\n"
            + "\n".join(failed)
        )


def _quick_markers():
    """Returns the marker expression by which pytest runs when nothing is asked for."""
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    options = shlex.split(configuration["tool"]["pytest"]["ini_options"]["addopts"])
    return options[options.index("-m") + 1] if "-m" in options else ""


def _copy_repository(target):
    """Copies the files that git knows or would add; what it ignores, as trained models, stays."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.is_file():  # others may have been deleted since
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    subprocess.run(["git", "init", "--quiet"], cwd=target, check=True)  # some tests list files
