"""Versions, complete and broken, put into the directory of a server under load: `soak.py`."""

from __future__ import annotations

import json
import shutil
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from served_process import ServedProcess

RENAMED, IN_PLACE, CHECKSUMS_LAST = "renamed", "file by file", "file by file, checksums last"
TRUNCATED, HALF, GARBAGE = "truncated", "half-copied", "garbage"
PLAN = (
    *(RENAMED, IN_PLACE, TRUNCATED, CHECKSUMS_LAST, HALF),
    *(RENAMED, IN_PLACE, GARBAGE, CHECKSUMS_LAST, RENAMED),
)
BROKEN = (TRUNCATED, HALF, GARBAGE)
_CHECKSUMS = "checksums.json"
_FILE_SECONDS = 0.4
_LOOK_SECONDS = 0.1
_STILL_SECONDS = 4.0  # the server looks for versions once a second
_TAKEOVER_SECONDS = 120.0


class Takeovers(threading.Thread):
    """Makes the versions of `PLAN`, one after another, each after enough requests.

    It stops when something goes wrong, which `error` then says.

    Args:
        server: the server, which takes them over.
        home: the directory of its versions, which holds version 1.
        sources: two exports, copied in turn.
        is_due: tells whether a takeover may begin, by its number from 0.
        plan: how each version is put into place.
    """

    def __init__(
        self,
        server: ServedProcess,
        home: Path,
        sources: tuple[Path, Path],
        is_due: Callable[[int], bool],
        plan: tuple[str, ...] = PLAN,
    ):
        super().__init__(daemon=True)
        self.plan = plan
        self.latest, self.good, self.broken = 1, 0, 0
        self.error = ""
        self._server, self._home, self._sources, self._is_due = server, home, sources, is_due

    def run(self) -> None:
        """Makes all versions."""
        try:
            for place, kind in enumerate(self.plan):
                while not self._is_due(place):
                    time.sleep(_LOOK_SECONDS)
                self._take(place + 2, kind)
                if place + 1 == len(self.plan) // 2:
                    self._server.close_stderr()
        except (OSError, TimeoutError, ValueError) as error:
            self.error = f"version {place + 2}, {kind}: {error!r}"

    def _take(self, number, kind):
        place = self._home / str(number)
        put(self._sources[number % 2], place, kind)
        if kind in BROKEN:
            self._wait(lambda: self._state(number) == "END")
            time.sleep(_STILL_SECONDS)
            state = self._state(number)
            if state != "END" or self._served() != self.latest:
                raise ValueError(f"it is {state}, and version {self._served()} answers")
            self.broken += 1
            return
        self._wait(lambda: self._served() == number)
        shutil.rmtree(self._home / str(self.latest))
        self.latest = number
        self.good += 1

    def _wait(self, has_happened):
        deadline = time.monotonic() + _TAKEOVER_SECONDS
        while not has_happened():
            if time.monotonic() > deadline:
                raise TimeoutError("the server has not noticed it")
            time.sleep(_LOOK_SECONDS)

    def _served(self):
        return int(rest_json(self._server, "/healthz")["version"])

    def _state(self, number):
        told = rest_json(self._server, f"/v1/models/{self._server.name}")["model_version_status"]
        return next((one["state"] for one in told if int(one["version"]) == number), "")


def put(source: Path, place: Path, kind: str) -> None:
    """Puts a version into place in one of the ways of `PLAN`."""
    temporary = place.with_name(f".{place.name}")
    if kind in (RENAMED, TRUNCATED, GARBAGE):
        shutil.copytree(source, temporary)
        if kind == TRUNCATED:
            largest = max(_files(temporary), key=lambda path: path.stat().st_size)
            largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
        if kind == GARBAGE:
            (temporary / "saved_model.pb").write_bytes(b"no graph")
        temporary.rename(place)
        return
    files = _files(source)
    if kind == CHECKSUMS_LAST:
        files.sort(key=lambda path: path.name == _CHECKSUMS)
    if kind == HALF:
        files = files[: len(files) // 2]
    for path in files:
        copy = place / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        time.sleep(_FILE_SECONDS)


def rest_json(server: ServedProcess, path: str) -> dict:
    """Returns the JSON that REST answers to a GET.

    Raises:
        OSError: if the status is not 200.
    """
    with urllib.request.urlopen(f"http://{server.addresses['rest']}{path}", timeout=60) as answer:
        return json.load(answer)


def _files(directory):
    return sorted(path for path in directory.rglob("*") if path.is_file())
