"""Helpers, other than fixtures, for the tests of the commands."""

import dataclasses


@dataclasses.dataclass
class Finished:
    """The outcome of a command."""

    returncode: int
    stdout: str
    stderr: str


def fails(process, *parts):
    """Checks for one sentence on stderr, exit status 2 and no traceback."""
    assert process.returncode == 2, process.stderr
    assert "Traceback" not in process.stderr
    (line,) = [line for line in process.stderr.splitlines() if line.strip()]
    assert line.startswith("hmar: ")
    for part in parts:
        assert part in line, line


def fails_last(process, *parts):
    """Checks the last line like `fails`, after lines that report progress."""
    last = process.stderr.rstrip("\n").splitlines()[-1] + "\n"
    fails(type(process)(process.returncode, process.stdout, last), *parts)
    assert "Traceback" not in process.stderr
