"""Where prepared data, downloads and compiled programs are kept between commands."""

from __future__ import annotations

import os
import pathlib

from pipelines.runtime.errors import InputError
from pipelines.runtime.printable import check_text


def cache_directory(given: str | os.PathLike | None = None) -> pathlib.Path:
    """Returns the given directory, else `$HMAR_CACHE`, else `~/.cache/hmar`; it need not exist.

    Raises:
        InputError: if its name is not UTF-8, or contains a question mark, at which DuckDB ends the
            name of a file.
    """
    chosen = given or os.environ.get("HMAR_CACHE") or "~/.cache/hmar"
    directory = pathlib.Path(chosen).expanduser().absolute()
    check_text(str(directory), "the cache directory")
    if "?" in str(directory):
        raise InputError(
            f"the cache directory {directory} has a '?' in its name; choose another with "
            "HMAR_CACHE."
        )
    return directory
