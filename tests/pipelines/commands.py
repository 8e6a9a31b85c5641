"""What the tests of the commands have in common, beside the fixtures."""

import dataclasses


@dataclasses.dataclass
class Finished:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def fails(process, *parts):
    """One sentence on stderr, exit status 2, no traceback."""
    assert process.returncode == 2, process.stderr
    assert "Traceback" not in process.stderr
    (line,) = [line for line in process.stderr.splitlines() if line.strip()]
    assert line.startswith("hmar: ")
    for part in parts:
        assert part in line, line


def fails_last(process, *parts):
    """As `fails`, after the lines that say how far it got."""
    last = process.stderr.rstrip("\n").splitlines()[-1] + "\n"
    fails(type(process)(process.returncode, process.stdout, last), *parts)
    assert "Traceback" not in process.stderr
