"""Files that later commands read back: written completely or not at all, checked when read.

Next to an artefact `NAME` is `NAME.sha256`: the SHA-256 of its content and, on a second line, that
of its previous content, which is still there if a writer is killed between the two files. An
artefact without a checksum is accepted, because runs of older versions have none.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from pipelines.runtime.errors import InputError, in_one_line
from pipelines.storage.json_text import parse_json

_SUFFIX = ".sha256"
_TEMPORARY = re.compile(r"\.([0-9]+)-.+", re.DOTALL)
_ATTEMPTS = 3  # to read a file that another process is writing
_WITH_LIBRARIES = 16 << 20  # bytes that HDF5, zip files and TensorFlow's logs need on top


def is_number(value) -> bool:
    """Returns whether a value of a JSON file is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def read_json(path: Path, fault: Callable[[object], str | None], advice: str):
    """Reads a JSON artefact.

    Args:
        path: path of the file.
        fault: returns what is wrong with the content, None if nothing is.
        advice: what to do about a damaged file.

    Raises:
        FileNotFoundError: if there is no such file.
        InputError: if it cannot be read, or its content is damaged.
    """
    for attempt in range(_ATTEMPTS):
        data = _read(path, advice)
        try:
            content = parse_json(data)
        except ValueError as error:
            raise InputError(f"{path} is not valid JSON ({error}); {advice}.") from error
        if _is_known(path, hashlib.sha256(data).hexdigest()):
            break
        if attempt == _ATTEMPTS - 1:
            raise _changed(path, advice)
    wrong = fault(content)
    if wrong:
        raise InputError(f"{path} is damaged ({wrong}); {advice}.")
    return content


def check(path: Path, advice: str) -> None:
    """Compares an artefact with its checksum.

    Raises:
        InputError: if it is missing, not a file, or differs.
    """
    for _ in range(_ATTEMPTS):
        try:
            found = digest(path)
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}); {advice}.") from error
        if _is_known(path, found):
            return
    raise _changed(path, advice)


@contextlib.contextmanager
def reading(path: Path, advice: str) -> Iterator[None]:
    """Checks an artefact, then turns whatever a library raises on damage into one sentence.

    HDF5, zip files and Keras raise almost any exception on a damaged file.

    Raises:
        InputError: if the file is damaged.
    """
    check(path, advice)
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{path} is damaged or incompatible ({type(error).__name__}: {in_one_line(error)}); "
            f"{advice}."
        ) from error


def write_json(path: Path, content) -> None:
    """Writes a JSON artefact and its checksum.

    Raises:
        InputError: if it cannot be written.
    """
    text = json.dumps(content, indent=2) + "\n"
    with written(path, len(text)) as temporary:
        temporary.write_text(text)


@contextlib.contextmanager
def written(path: Path, size: int, libraries: bool = False) -> Iterator[Path]:
    """Yields a path to write an artefact to, which becomes `path`, with a checksum, afterwards.

    Args:
        path: final path of the artefact.
        size: its maximum size in bytes.
        libraries: see `require_room`.

    Raises:
        InputError: if there is no room, or the directory cannot be written.
    """
    require_room(path.parent, size, libraries)
    with written_at_once(path) as temporary:
        yield temporary
        digests = [digest(temporary)]
        if path.is_file() and _is_known(path, before := digest(path)):
            digests.append(before)
        with written_at_once(_checksum(path)) as lines:
            lines.write_text("".join(f"{digest}\n" for digest in digests))


def remove(path: Path) -> None:
    """Removes an artefact, if it exists, and its checksum.

    Raises:
        InputError: if that cannot be done.
    """
    try:
        path.unlink(missing_ok=True)
        _checksum(path).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be removed ({error.strerror}); remove it.") from error


@contextlib.contextmanager
def written_at_once(path: Path) -> Iterator[Path]:
    """Yields a path to write to, which becomes `path` if the block ends without an error.

    Raises:
        InputError: if the file cannot be written.
    """
    temporary = path.with_name(_temporary_name(path, os.getpid()))
    try:
        _remove_leftovers(path)
        temporary.touch()  # on failure Python gives a reason, whereas HDF5 crashes
        yield temporary
        _synchronize(temporary)
        os.replace(temporary, path)
        _synchronize(path.parent)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror or error}); free disk space and check the "
            "permissions, or choose another --output."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def require_room(directory: Path, size: int, libraries: bool = False) -> None:
    """Checks that a disk has room before anything is written.

    Args:
        directory: a directory on the disk; it need not exist.
        size: number of bytes to be written.
        libraries: whether HDF5 or TensorFlow write, which crash on a full disk.

    Raises:
        InputError: if there is too little room.
    """
    needed = size + (_WITH_LIBRARIES if libraries else 0)
    there = Path(directory).absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    free = shutil.disk_usage(there).free
    if free < needed:
        raise InputError(
            f"the disk of {directory} has {_megabytes(free)} MB free and {_megabytes(needed)} MB "
            f"are needed; free {_megabytes(needed - free)} MB, then run the command again, with "
            "--resume if it had started."
        ) from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file's content, in hexadecimal digits.

    Raises:
        OSError: if it cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def writer_of(name: str) -> int | None:
    """Returns the process whose temporary file has this name, None for any other name."""
    found = _TEMPORARY.fullmatch(name)
    return int(found[1]) if found else None


def artefact_of(name: str) -> str | None:
    """Returns the artefact whose checksum has this name, None for any other name."""
    return name.removesuffix(_SUFFIX) if name.endswith(_SUFFIX) else None


def synchronize_tree(directory: Path) -> None:
    """Makes the operating system write everything below a directory to its disk."""
    for path in [*directory.rglob("*"), directory]:
        _synchronize(path)


def _read(path, advice):
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); {advice}.") from error


def _checksum(path):
    return path.with_name(path.name + _SUFFIX)


def _is_known(path, digest):
    try:
        return digest in _checksum(path).read_text().split()
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False


def _changed(path, advice):
    return InputError(
        f"{path} does not match its checksum {path.name}{_SUFFIX}; {advice}, or delete the "
        "checksum if the change is intended."
    )


def _synchronize(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_leftovers(path):
    """Removes what killed writers of the same file left behind."""
    for name in os.listdir(path.parent):
        writer = writer_of(name)
        if writer is not None and name == _temporary_name(path, writer) and not _is_alive(writer):
            path.with_name(name).unlink(missing_ok=True)


def _temporary_name(path, process):
    # Keeps the suffix, by which Keras chooses the format.
    return f".{process}-{path.name}"


def _is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


def _megabytes(size):
    return max(1, -(-size // 1_000_000)) if size > 0 else 0
