"""Worker processes on the chief's machine: started, restarted when they die, and stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from pipelines.runtime.errors import InputError
from pipelines.runtime.hardware import cores

_MOST_STARTS_IN_VAIN = 3
_SAID_WHY = 2  # exit status of a worker that printed an error, which would recur
_SECONDS_TO_END = 10


class LocalWorkers:
    """The workers of a search on this machine.

    Args:
        directory: directory of the search.
        number: number of workers.
        address: host and port of the chief.
        devices: number of devices per training.
    """

    def __init__(self, directory: Path, number: int, address: tuple[str, str], devices: int):
        self._directory = directory
        self._number = number
        self._address = address
        self._devices = devices
        self._running: dict[int, subprocess.Popen] = {}
        self._deaths = 0

    def start(self) -> None:
        """Starts all workers."""
        (self._directory / "workers").mkdir(exist_ok=True)
        for worker in range(self._number):
            self._start(worker)

    def look(self) -> bool:
        """Restarts workers that died.

        Returns:
            whether any is running.

        Raises:
            InputError: if a worker reports an error, or the workers keep dying.
        """
        for worker, process in list(self._running.items()):
            status = process.poll()
            if status == 0:
                del self._running[worker]
            elif status == _SAID_WHY:
                raise InputError(self._last_line(worker).removeprefix("hmar: "))
            elif status is not None:
                self._deaths += 1
                if self._deaths >= _MOST_STARTS_IN_VAIN * self._number:
                    raise InputError(
                        f"the workers keep dying, the last with: {self._last_line(worker)} "
                        f"(see {self._log(worker)}); fix the cause and continue with --resume."
                    )
                self._start(worker)
        return bool(self._running)

    def trial_ended(self) -> None:
        """Resets the count of deaths, because the workers make progress."""
        self._deaths = 0

    def end(self) -> None:
        """Stops all workers; trials that they have not finished run again on resumption."""
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in self._running.values():
            try:
                process.wait(_SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()

    def _start(self, worker):
        with open(self._log(worker), "ab") as log:
            self._running[worker] = subprocess.Popen(
                [sys.executable, "-m", "pipelines.tuning.worker", str(self._directory)],
                env=self._environment(worker),
                stdin=subprocess.PIPE,  # closes when this process ends, however it ends
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the chief, which then stops them
            )

    def _environment(self, worker):
        host, port = self._address
        own = {
            "KERASTUNER_TUNER_ID": f"worker-{worker}",
            "KERASTUNER_ORACLE_IP": host,
            "KERASTUNER_ORACLE_PORT": port,
            **_threads(self._number),
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            **_gpus(worker, self._devices),
        }
        return {**os.environ, **own}

    def _log(self, worker):
        return self._directory / "workers" / f"worker-{worker}.log"

    def _last_line(self, worker):
        lines = self._log(worker).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "nothing"


def _threads(workers):
    """Divides the cores among several workers."""
    if workers == 1:
        return {}
    share = str(max(1, cores() // workers))
    return {"TF_NUM_INTRAOP_THREADS": share, "TF_NUM_INTEROP_THREADS": share}


def _gpus(worker, devices):
    """Assigns as many GPUs as a training takes, in turn, if the machine has more."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = [path.name.removeprefix("nvidia") for path in sorted(Path("/dev").glob("nvidia[0-9]*"))]
    gpus = visible.split(",") if visible else found
    if len(gpus) <= devices:
        return {}
    own = [gpus[(worker * devices + each) % len(gpus)] for each in range(devices)]
    return {"CUDA_VISIBLE_DEVICES": ",".join(own)}
