"""Reads untrusted zip archives.

Nothing is written under a name from the archive. An archive with a name that leads out of its
folder is refused. Unpacking stops when the content becomes absurdly large, since the declared size
is not trusted.
"""

from __future__ import annotations

import pathlib
import re
import zipfile
from collections.abc import Iterator

from pipelines.runtime.errors import InputError

MOST_IN_MEMORY = 2 * 2**30  # the largest file that is read into memory has 265 MB
MOST_ON_DISK = 64 * 2**30  # the largest known log has 11 GB
_FREE = 64 * 2**20  # up to this size any compression is accepted
_MOST_COMPRESSION = 200  # logs compress to a fifth or a tenth
_CHUNK = 2**20


def find_members(
    path: pathlib.Path, wanted: tuple[str, ...], folder: str, advice: str
) -> dict[str, str]:
    """Finds files in an archive, in whatever folders they are.

    If several members have a wanted file name, one in `folder` is preferred, then the one in the
    fewest folders, then the first by name.

    Args:
        path: path of the archive.
        wanted: file names.
        folder: their expected folder, `""` for no folder.
        advice: what to do if the archive cannot be used.

    Returns:
        The member name of each file that was found, by file name.

    Raises:
        InputError: if the archive is incomplete, one of its names leads out of its folder, or a
            wanted member is encrypted.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
    except Exception as error:  # a damaged archive can raise anything
        raise InputError(
            f"{path} is not a complete zip archive ({_reason(error)}); {advice}."
        ) from error
    for name in members:
        if _leads_out(name):
            raise InputError(
                f"{path} is refused: its member {name!r} leads out of the archive's folder; "
                f"{advice}."
            )
    found = {}
    for name in sorted(members, key=lambda name: _preference(name, folder), reverse=True):
        found[_parts(name)[-1]] = name
    found = {name: found[name] for name in wanted if name in found}
    for name, member in found.items():
        if members[member].flag_bits & 1:
            raise InputError(f"{name} in {path} is encrypted and cannot be read; {advice}.")
    return found


def read_chunks(path: pathlib.Path, member: str, label: str, most: int) -> Iterator[bytes]:
    """Yields the unpacked content of a member, piece by piece.

    Args:
        path: path of the archive.
        member: full name of the member in the archive.
        label: its name in messages.
        most: the largest allowed unpacked size, in bytes.

    Raises:
        InputError: if it cannot be unpacked or is too large.
    """
    total = 0
    try:
        with zipfile.ZipFile(path) as archive:
            packed = min(archive.getinfo(member).compress_size, path.stat().st_size)
            with archive.open(member) as file:
                while chunk := file.read(_CHUNK):
                    total += len(chunk)
                    _check_size(label, total, packed, most)
                    yield chunk
    except InputError:
        raise
    except Exception as error:  # a damaged member can raise anything
        raise InputError(
            f"{label} cannot be read ({_reason(error)}); fetch the file again."
        ) from error


def _check_size(label, total, packed, most):
    if total > max(_FREE, _MOST_COMPRESSION * packed):
        raise InputError(
            f"{label} is refused: its {packed:,} bytes unpack to more than {_MOST_COMPRESSION} "
            f"times as many, which no log does; fetch the file again."
        )
    if total > most:
        raise InputError(
            f"{label} is refused: it unpacks to more than {most:,} bytes; if that is right, unpack "
            f"it yourself and pass the directory it is in."
        )


def _parts(name):
    return name.replace("\\", "/").split("/")


def _leads_out(name):
    parts = _parts(name)
    return parts[0] == "" or ".." in parts or re.match("[A-Za-z]:", name) is not None


def _preference(name, folder):
    parts = _parts(name)
    inside = bool(folder) and f"/{'/'.join(parts)}".endswith(f"/{folder}/{parts[-1]}")
    return not inside, len(parts), name


def _reason(error):
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
