"""Where a dataset's raw files lie: in an archive, or unpacked in a directory."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import zipfile
import zlib

from pipelines.errors import InputError

# What the zip module raises for archives that are damaged, locked or packed in an unknown way.
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError)


@dataclasses.dataclass(frozen=True)
class RawFiles:
    """Files that were found and can be read by name.

    Args:
        location: the archive, or the directory.
        entries: from the name of a file to its name in the archive, or to its path.
    """

    location: pathlib.Path
    entries: dict[str, str]

    def label(self, name: str) -> str:
        """How a message calls a file."""
        if self.location.is_dir():
            return self.entries[name]
        return f"{name} in {self.location}"

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            InputError: if it cannot be read or unpacked.
        """
        try:
            if self.location.is_dir():
                return pathlib.Path(self.entries[name]).read_bytes()
            with zipfile.ZipFile(self.location) as archive:
                return archive.read(self.entries[name])
        except _ZIP_ERRORS as error:
            raise InputError(
                f"{self.label(name)} cannot be read ({error}); fetch the file again."
            ) from error

    def identity(self) -> list[list]:
        """Name, size and time of change of everything that is read; differs once that differs."""
        paths = self.entries.values() if self.location.is_dir() else [self.location]
        stats = [(pathlib.Path(path).name, os.stat(path)) for path in sorted(paths)]
        return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]


@dataclasses.dataclass(frozen=True)
class SourceFiles:
    """What a dataset is distributed as.

    Args:
        archive: file name of the official archive.
        members: names of the files that are read, without folders.
        folder: where these lie when the archive is unpacked, `""` for no folder.
        homepage: where to get the archive by hand.
        url: where to download the archive; None where that is not possible, or where no
            checksum of it is recorded.
    """

    archive: str
    members: tuple[str, ...]
    folder: str
    homepage: str
    url: str | None = None

    @property
    def advice(self) -> str:
        """What a user should do who has no data yet."""
        return (
            f"get {self.archive} from {self.homepage} and give the directory it lies in as "
            f"--data-dir"
        )

    def locate(self, path: os.PathLike | str) -> RawFiles:
        """Finds the files.

        Args:
            path: the archive under any name, or a directory with the archive or the unpacked
                files.

        Raises:
            InputError: if something is missing, or the archive is no archive.
        """
        path = pathlib.Path(path).expanduser()
        if not path.exists():
            raise InputError(f"there is no {path}; {self.advice}.")
        if path.is_file():
            if self.members == (path.name,):
                return RawFiles(path.parent, {path.name: str(path)})
            return self._in_archive(path)
        if (path / self.archive).is_file():
            return self._in_archive(path / self.archive)
        return self._in_directory(path)

    def _in_archive(self, path):
        try:
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if not name.endswith("/")]
        except _ZIP_ERRORS as error:
            raise InputError(
                f"{path} is not a complete zip archive ({error}); fetch {self.archive} again."
            ) from error
        by_name = {name.rpartition("/")[2]: name for name in sorted(names, reverse=True)}
        self._check_complete(path, by_name)
        return RawFiles(path, {name: by_name[name] for name in self.members})

    def _in_directory(self, path):
        found = {}
        for name in self.members:
            for file in (path / self.folder / name, path / name):
                if file.is_file():
                    found[name] = str(file)
        if not found:
            files = "the unpacked " + ", ".join(self.members)
            raise InputError(f"{path} has neither {self.archive} nor {files}; {self.advice}.")
        self._check_complete(path, found)
        return RawFiles(path, found)

    def _check_complete(self, path, found):
        missing = [name for name in self.members if name not in found]
        if missing:
            raise InputError(
                f"{path} lacks {', '.join(missing)}; it must have all of {', '.join(self.members)}."
            )
