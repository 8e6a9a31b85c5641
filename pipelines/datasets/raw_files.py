"""The raw files of a dataset: in an archive, or loose in a directory."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib

from pipelines.datasets import zip_members
from pipelines.runtime.errors import InputError


@dataclasses.dataclass(frozen=True)
class RawFiles:
    """Files that were found and can be read by name.

    Args:
        location: the archive, or the directory.
        entries: maps the name of each file to its name in the archive, or to its path.
    """

    location: pathlib.Path
    entries: dict[str, str]

    def label(self, name: str) -> str:
        """Returns the name of a file for messages."""
        if self.location.is_dir():
            return self.entries[name]
        return f"{name} in {self.location}"

    def read(self, name: str) -> bytes:
        """Returns the content of a file.

        Raises:
            InputError: if it cannot be read or unpacked.
        """
        if not self.location.is_dir():
            return b"".join(self._unpacked(name, zip_members.MOST_IN_MEMORY))
        try:
            return pathlib.Path(self.entries[name]).read_bytes()
        except OSError as error:
            raise InputError(
                f"{self.label(name)} cannot be read ({error.strerror or error}); fetch the file "
                f"again."
            ) from error

    def path(self, name: str, scratch: pathlib.Path) -> pathlib.Path:
        """Returns the path of a file on disk, for files that are too large for memory.

        Args:
            name: name of the file.
            scratch: where a file from an archive is unpacked, as `scratch / name`. Created if
                missing; the caller deletes it.

        Raises:
            InputError: if it cannot be unpacked.
        """
        if self.location.is_dir():
            return pathlib.Path(self.entries[name])
        target = scratch / name
        try:
            scratch.mkdir(parents=True, exist_ok=True)
            with open(target, "wb") as file:
                for chunk in self._unpacked(name, zip_members.MOST_ON_DISK):
                    file.write(chunk)
        except BaseException as error:
            with contextlib.suppress(OSError):
                target.unlink()
            if not isinstance(error, OSError):
                raise
            raise InputError(
                f"{self.label(name)} cannot be unpacked to {scratch} ({error.strerror or error}); "
                f"free disk space, or unpack it yourself."
            ) from error
        return target

    def identity(self) -> list[list]:
        """Returns name, size and modification time of each file that is read, to detect changes."""
        paths = self.entries.values() if self.location.is_dir() else [self.location]
        stats = [(pathlib.Path(path).name, os.stat(path)) for path in sorted(paths)]
        return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]

    def _unpacked(self, name, most):
        return zip_members.read_chunks(self.location, self.entries[name], self.label(name), most)


@dataclasses.dataclass(frozen=True)
class SourceFiles:
    """The files in which a dataset is distributed.

    Args:
        archive: file name of the official archive; None if the files are loose, e.g. in a
            repository.
        members: names of the files that are read, without folders.
        folder: their folder in the unpacked archive or in the repository; `""` for no folder.
        homepage: where to get the archive or the files by hand.
        url: where to download the archive; None if that is not possible, or if no checksum of it
            is recorded.
        packed: members that the homepage has as rar archives, which cannot be read: they must be
            unpacked by hand.
    """

    archive: str | None
    members: tuple[str, ...]
    folder: str
    homepage: str
    url: str | None = None
    packed: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name of the distribution in messages."""
        return self.archive or ", ".join(self.members)

    @property
    def advice(self) -> str:
        """What a user without the data should do."""
        lie = "it is" if self.archive else "they are"
        return f"{self._get(self.members)} and pass the directory {lie} in as --data-dir"

    def locate(self, path: os.PathLike | str) -> RawFiles:
        """Finds the files.

        Args:
            path: an archive of the files, under any name; a directory with the official archive
                or the loose files; or one of the loose files.

        Raises:
            InputError: if a file is missing, or the archive is not a valid archive.
        """
        path = pathlib.Path(path).expanduser()
        if not path.exists():
            raise InputError(f"{path} does not exist; {self.advice}.")
        if path.is_file():
            if path.name in self.members:
                return self._in_directory(path.parent)
            return self._in_archive(path)
        if self.archive and (path / self.archive).is_file():
            return self._in_archive(path / self.archive)
        return self._in_directory(path)

    def _in_archive(self, path):
        again = f"fetch {self.archive} again" if self.archive else self.advice
        found = zip_members.find_members(path, self.members, self.folder, again)
        self._check_complete(path, found)
        return RawFiles(path, found)

    def _in_directory(self, path):
        found = {}
        for name in self.members:
            for file in (path / self.folder / name, path / name):
                if file.is_file():
                    found[name] = str(file)
        if not found:
            files = ", ".join(self.members)
            has = f"neither {self.archive} nor the unpacked" if self.archive else "none of"
            raise InputError(f"{path} has {has} {files}; {self.advice}.")
        self._check_complete(path, found)
        return RawFiles(path, found)

    def _check_complete(self, path, found):
        missing = [name for name in self.members if name not in found]
        if missing:
            raise InputError(
                f"{path} lacks {', '.join(missing)}; it must have all of "
                f"{', '.join(self.members)}: {self._get(missing)}."
            )

    def _get(self, names):
        if self.archive:
            return f"get {self.archive} from {self.homepage}"
        folder = f" (folder {self.folder})" if self.folder else ""
        packed = " and ".join(name for name in names if name in self.packed)
        unpack = f", unpack {packed} (a rar archive there)" if packed else ""
        return f"get {', '.join(names)} from {self.homepage}{folder}{unpack}"
