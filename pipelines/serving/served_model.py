"""The served versions of a model, replaced without losing a request."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import gc
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pipelines.runtime.errors import InputError
from pipelines.runtime.model_name import check_model_name
from pipelines.runtime.model_versions import versions
from pipelines.serving.request_error import RequestError

_POLL_SECONDS = 1.0
_SHUTDOWN_SECONDS = 60.0


@dataclasses.dataclass
class VersionStatus:
    """The state of a version.

    Args:
        state: as TensorFlow Serving names it: LOADING, AVAILABLE, UNLOADING or END.
        error: why it could not be loaded, or "".
    """

    state: str
    error: str = ""


@dataclasses.dataclass
class _Live:
    """A version that serves requests, and how many are in flight."""

    number: int
    version: object
    requests: int = 0
    is_retired: bool = False


@dataclasses.dataclass
class _Failure:
    """The files of a version that could not be loaded, at the last attempt and at the last look.

    A version that is still being copied is tried again once its files stop changing.
    """

    tried: tuple
    seen: tuple


class ServedModel:
    """A directory of versions, of which the latest that can be loaded is served.

    A new version is loaded next to the old one; then new requests go to it, and the old one is
    freed after its last request. If the latest version is removed, the one before it is served
    again. A version that cannot be loaded is reported and ignored.

    Args:
        directory: `saved_models/NAME`.
        name: what clients call the model; the directory's name if None.
        labels: version numbers by label; they stay loaded.
        say: called with a line about each event; its errors are ignored, in case nobody listens.
        load: loads a version from its directory; None for `LoadedVersion`.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        name: str | None = None,
        labels: Mapping[str, int] | None = None,
        say: Callable[[str], None] = lambda line: None,
        load: Callable[[Path], object] | None = None,
    ):
        self.directory = Path(directory)
        self.name = name if name is not None else self.directory.resolve().name
        self.labels = dict(labels or {})
        self._say = say
        self._load = load or _load
        self._lock = threading.Lock()  # guards what follows
        self._live: dict[int, _Live] = {}
        self._latest: int | None = None
        self._statuses: dict[int, VersionStatus] = {}
        self._has_garbage = False
        self._refreshing = threading.Lock()  # one refresh at a time; guards what follows
        self._failures: dict[int, _Failure] = {}
        self._was_empty = False
        self._last_error = ""
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="hmar-versions", daemon=True)

    def start(self) -> None:
        """Loads what there is and watches for new versions.

        Raises:
            InputError: if there is nothing to serve, the name is not a valid model name, or a
                label's version is missing.
        """
        found = versions(self.directory)
        if not found:
            hint = "give saved_models/NAME as --model, or create one with hmar export."
            if (self.directory / "saved_model.pb").is_file():
                hint = f"it is a version itself; give {self.directory.parent} as --model."
            raise InputError(f"{self.directory} holds no exported model; {hint}")
        check_model_name(self.name)
        self.refresh()
        if self._latest is None:
            raise InputError(
                f"{self.directory} does not hold a complete export "
                f"({self._statuses[max(found)].error}); export the model again."
            )
        for label, number in self.labels.items():
            if number not in self._live:
                raise InputError(
                    f"--label {label}={number} names a version that cannot be served; "
                    f"{self.directory} has {', '.join(map(str, sorted(found)))}."
                )
        self._watcher.start()

    def stop(self) -> None:
        """Stops watching; loaded versions continue to serve requests."""
        self._stop.set()

    def join(self) -> None:
        """Waits, after `stop`, for a version that is still being loaded."""
        if self._watcher.is_alive():
            self._watcher.join(_SHUTDOWN_SECONDS)

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` has been called."""
        return self._stop.is_set()

    @property
    def has_latest(self) -> bool:
        """Whether a version is loaded."""
        with self._lock:
            return self._latest in self._live

    @property
    def is_watching(self) -> bool:
        """Whether the directory is watched for new versions."""
        return self._watcher.is_alive() and not self._stop.is_set()

    @contextlib.contextmanager
    def lease(
        self, version: int | None = None, label: str | None = None
    ) -> Iterator[tuple[int, object]]:
        """Yields the number and the version that is requested, or the latest.

        It stays loaded inside the block.

        Raises:
            RequestError: if that version is not served.
        """
        live = self._take(version, label)
        try:
            yield live.number, live.version
        finally:
            self._give_back(live)

    def statuses(
        self, version: int | None = None, label: str | None = None
    ) -> dict[int, VersionStatus]:
        """Returns the states of all versions, or of one, the latest first.

        Raises:
            RequestError: if that version is unknown.
        """
        with self._lock:
            if label is not None:
                version = self._labelled(label)
            known = sorted(self._statuses, reverse=True)
            if version is not None and version not in known:
                raise self._no_version(version)
            return {n: self._statuses[n] for n in known if version in (None, n)}

    def refresh(self) -> None:
        """Reads the directory once and updates what is served."""
        with self._refreshing:
            found = versions(self.directory)
            if found:
                self._was_empty = False
                self._follow(found)
            elif not self._was_empty:
                self._was_empty = True
                self.tell(f"{self.directory} holds no version; what is loaded stays.")
            if self._has_garbage:
                # TensorFlow graphs refer to themselves; only the collector frees their memory.
                self._has_garbage = False
                gc.collect()
                _return_memory()

    def tell(self, line: str) -> None:
        """Reports a line through `say`, and ignores its errors."""
        # Rich raises SystemExit where standard error is a closed pipe.
        with contextlib.suppress(Exception, SystemExit):
            self._say(line)

    def _follow(self, found):
        """Loads the latest complete version of `found` and those labelled; retires the others."""
        for number in self.labels.values():
            self._is_ready(number, found)
        latest = next((n for n in sorted(found, reverse=True) if self._is_ready(n, found)), None)
        if latest is None:
            return
        with self._lock:
            self._latest = latest
            kept = {latest, *self.labels.values()}
            retired = [live for live in self._live.values() if live.number not in kept]
            for live in retired:
                del self._live[live.number]
                live.is_retired = True
                self._statuses[live.number] = VersionStatus("UNLOADING")
                if not live.requests:
                    self._free(live)
        for live in retired:
            self.tell(f"version {live.number} is no longer served")

    def _is_ready(self, number, found):
        """Returns whether a version is loaded, after trying to load it if it is new."""
        if number in self._live or number not in found:
            return number in self._live
        files = _files(found[number])
        failure = self._failures.get(number)
        if failure and (files == failure.tried or files != failure.seen):
            failure.seen = files
            return False
        self._set_status(number, VersionStatus("LOADING"))
        try:
            version = self._load(found[number])
        # A directory may be broken in any way, and must not stop another version from being
        # served.
        except Exception as error:
            self._failures[number] = _Failure(files, files)
            self._set_status(number, VersionStatus("END", _reason(error)))
            rest = f"; version {self._latest} stays" if self._latest is not None else ""
            self._has_garbage = True  # from the failed load
            self.tell(f"version {number} is not a complete export ({_reason(error)}){rest}")
            return False
        self._failures.pop(number, None)
        with self._lock:
            self._live[number] = _Live(number, version)
            self._statuses[number] = VersionStatus("AVAILABLE")
        self.tell(f"loaded version {number}")
        return True

    def _take(self, version, label):
        with self._lock:
            if label is not None:
                version = self._labelled(label)
            live = self._live.get(self._latest if version is None else version)
            if live is None:
                raise self._no_version(version)
            live.requests += 1
            return live

    def _give_back(self, live):
        with self._lock:
            live.requests -= 1
            if live.is_retired and not live.requests:
                self._free(live)

    def _free(self, live):
        live.version = None
        self._has_garbage = True
        self._statuses[live.number] = VersionStatus("END")

    def _set_status(self, number, status):
        with self._lock:
            self._statuses[number] = status

    def _labelled(self, label):
        if label not in self.labels:
            known = ", ".join(sorted(self.labels)) or "none"
            raise RequestError(
                "INVALID_ARGUMENT",
                f"model {self.name!r} has no label {label!r}; its labels are: {known}.",
            )
        return self.labels[label]

    def _no_version(self, number):
        served = ", ".join(str(n) for n in sorted(self._live)) or "none"
        return RequestError(
            "NOT_FOUND",
            f"version {number} of model {self.name!r} is not served; those served are: {served}.",
        )

    def _watch(self):
        while not self._stop.wait(_POLL_SECONDS):
            try:
                self.refresh()
            # Files may come and go during a look; the next one may succeed.
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                if reason != self._last_error:
                    self._last_error = reason
                    self.tell(f"looking for versions failed and is retried ({reason})")


def _load(directory):
    from pipelines.export.checksums import check_export
    from pipelines.serving.loaded_version import LoadedVersion

    check_export(directory)
    return LoadedVersion(directory)


def _return_memory():
    """Returns freed memory to the system; glibc would keep it for this process."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _reason(error):
    # TensorFlow's messages about files are long; the type of the error says enough.
    if isinstance(error, InputError):
        return str(error)
    return error.message if isinstance(error, RequestError) else type(error).__name__


def _files(directory):
    """Returns names, sizes and times of all files, to see whether they change."""
    found = []
    # Not Path.rglob, which raises if a directory is removed while it is walked.
    for place, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(place, name)
            with contextlib.suppress(OSError):  # removed meanwhile
                status = os.stat(path)
                found.append((path, status.st_size, status.st_mtime_ns))
    return tuple(sorted(found))
