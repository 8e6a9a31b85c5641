"""Raw files of a dataset, unpacked in a folder or still inside the zip they came in."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from pipelines.errors import InputError


class SourceFiles:
    """Reads files by name, whichever way they lie there.

    Args:
        folder: the directory that the user gave.
        archive: name of the zip that the files come in.

    A file is looked for in the folder, then in a folder named after the archive, then in the
    archive, wherever in it the file stands.
    """

    def __init__(self, folder: Path, archive: str):
        self.folder = Path(folder)
        self.archive = archive

    def find(self, name: str) -> Path | None:
        """The file, or the archive that should hold it, or None."""
        for path in (
            self.folder / name,
            self.folder / Path(self.archive).stem / name,
            self.folder / self.archive,
        ):
            if path.is_file():
                return path
        return None

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            InputError: if it is not there or cannot be read.
        """
        path = self.find(name)
        if path is None:
            raise InputError(
                f"neither {self.archive} nor {name} is in {self.folder}; put one of them there "
                "or give the right --data-dir."
            )
        try:
            return path.read_bytes() if path.name == name else _read_member(path, name)
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise InputError(
                f"{path} cannot be read ({error}); it may be damaged or cut short, get it again."
            ) from error


def _read_member(path, name):
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.namelist() if member.split("/")[-1] == name]
        if not members:
            raise InputError(f"{path} holds no file {name}; get the complete archive.")
        return archive.read(members[0])
