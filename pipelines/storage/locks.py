"""Locks that are released when a process is killed: `flock` on a file or a directory.

If the file system has no locks, as some network file systems, everything counts as free.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from pipelines.runtime.errors import InputError

_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
_held: dict[str, int] = {}  # how often this process holds a file


@contextlib.contextmanager
def held(path: Path, message: str) -> Iterator[None]:
    """Holds a lock file, creating it if necessary; the same process may hold it repeatedly.

    Args:
        path: path of the lock file.
        message: message of the error if another process holds it.

    Raises:
        InputError: if another process holds it, or it cannot be created.
    """
    key = os.path.realpath(path)
    if key in _held:
        _held[key] += 1
        descriptor = None
    else:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise InputError(
                f"{path.parent} cannot be written ({error.strerror}); check its permissions."
            ) from error
        if not _lock(descriptor):
            os.close(descriptor)
            raise InputError(message)
        _held[key] = 1
    try:
        yield
    finally:
        _held[key] -= 1
        if not _held[key]:
            del _held[key]
        if descriptor is not None:
            os.close(descriptor)


@contextlib.contextmanager
def locked_directory(path: Path, tell: Callable[[], None]) -> Iterator[None]:
    """Holds a directory, waiting until no other process does.

    Args:
        path: path of the directory.
        tell: called before waiting, if another process holds the directory.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if not _lock(descriptor):
            tell()
            _lock(descriptor, wait=True)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def temporary_directory(parent: Path, prefix: str) -> Iterator[Path]:
    """Creates a directory, holds it, and removes it at the end of the block.

    Raises:
        OSError: if it cannot be created.
    """
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _lock(descriptor)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def remove_abandoned(parent: Path, pattern: str) -> None:
    """Removes directories made by `temporary_directory` whose processes are gone."""
    for path in parent.glob(pattern):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                if _lock(descriptor):
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)


def _lock(descriptor, wait=False):
    """Returns whether the lock was acquired."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    return True
