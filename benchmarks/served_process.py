"""`hmar serve` in a separate process, watched from outside; needs Linux."""

from __future__ import annotations

import os
import re
import resource
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

_COMMAND = [sys.executable, "-c", "from pipelines.cli.app import main; main()", "serve"]
_READY = re.compile(r"gRPC on (\S+), REST on http://(\S+)")
_END_SECONDS = 60.0
_LISTEN_SECONDS = 0.1
_ROOT = Path(__file__).parents[1]


class ServedProcess:
    """A server on free ports; a context manager.

    Args:
        directory: directory of the model's versions.
        seconds: how long to wait until it answers.
        descriptors: how many files and connections it may open; None for as many as this process.
    """

    def __init__(self, directory: Path, seconds: float = 120.0, descriptors: int | None = None):
        def limit_descriptors():
            if descriptors is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        self.name = directory.name
        self._lines: list[tuple[float, str]] = []  # with the time when they were read
        self._is_deaf = threading.Event()
        self._process = subprocess.Popen(
            [*_COMMAND, "--model", str(directory), "--port", "0", "--rest-port", "0"],
            stderr=subprocess.PIPE,
            cwd=_ROOT,
            preexec_fn=limit_descriptors,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        ready = None
        deadline = time.monotonic() + seconds
        while not ready:
            self._check(deadline)
            ready = next(filter(None, (_READY.search(line) for _, line in self._lines)), None)
        self.addresses = dict(zip(("grpc", "rest"), ready.groups(), strict=True))

    def said(self, text: str) -> float | None:
        """Returns when it printed a line with `text`, as `time.monotonic`; None if it has not."""
        return next((moment for moment, line in self._lines if text in line), None)

    def close_stderr(self) -> None:
        """Stops reading what the server prints: its standard error becomes a closed pipe."""
        self._is_deaf.set()
        self._reader.join()

    def memory(self) -> float:
        """Returns the MiB that it holds."""
        status = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 2**10 for line in status if line.startswith("VmRSS"))

    def cpu_seconds(self) -> float:
        """Returns its CPU time so far, on all cores together."""
        # The name of the program is in parentheses and may contain spaces.
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> ServedProcess:
        return self

    def __exit__(self, *error) -> None:
        self._process.terminate()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()

    def _read(self):
        pipe, rest = self._process.stderr.fileno(), b""
        while not self._is_deaf.is_set():
            if not select.select([pipe], [], [], _LISTEN_SECONDS)[0]:
                continue
            data = os.read(pipe, 2**16)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            now = time.monotonic()
            self._lines += [(now, line.decode(errors="replace").rstrip()) for line in lines]
        self._process.stderr.close()

    def _check(self, deadline):
        if self._process.poll() is not None or time.monotonic() > deadline:
            self._process.kill()
            raise SystemExit("hmar serve did not start:\n" + "\n".join(x for _, x in self._lines))
        time.sleep(0.05)
