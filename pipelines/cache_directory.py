"""Where prepared data, downloads and compiled programs are kept between commands."""

from __future__ import annotations

import os
import pathlib


def cache_directory(given: str | os.PathLike | None = None) -> pathlib.Path:
    """The directory given, else `$HMAR_CACHE`, else `~/.cache/hmar`; it need not exist."""
    chosen = given or os.environ.get("HMAR_CACHE") or "~/.cache/hmar"
    return pathlib.Path(chosen).expanduser().absolute()
