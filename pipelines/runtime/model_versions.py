"""The versions of a model: its subdirectories whose names are whole numbers."""

from __future__ import annotations

import re
from pathlib import Path

LARGEST = 2**63 - 1  # TensorFlow Serving counts versions in int64


def version_number(name: str) -> int | None:
    """Returns the version that a directory name stands for, None if it is not a version."""
    is_number = re.fullmatch("[0-9]{1,19}", name) and int(name) <= LARGEST
    return int(name) if is_number else None


def versions(directory: Path) -> dict[int, Path]:
    """Returns the directories of a model's versions by number, ascending.

    The result is empty if the directory is missing or cannot be read.
    """
    try:
        paths = {version_number(path.name): path for path in sorted(directory.iterdir())}
        return {n: paths[n] for n in sorted(paths.keys() - {None}) if paths[n].is_dir()}
    except OSError:
        return {}
