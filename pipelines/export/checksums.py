"""The checksums of an export: `assets.extra/checksums.json`, SHA-256 by file.

An export without the file is accepted, because older versions write none.
"""

from __future__ import annotations

import json
from pathlib import Path

from pipelines.runtime.errors import InputError
from pipelines.storage.artefacts import digest
from pipelines.storage.json_text import parse_json

CHECKSUMS = Path("assets.extra") / "checksums.json"


def write_checksums(version: Path) -> None:
    """Writes the checksums of all files of a complete export."""
    found = {name: digest(version / name) for name in _files(version)}
    (version / CHECKSUMS).write_text(json.dumps(found, indent=2) + "\n")


def check_export(version: Path) -> None:
    """Compares the files of an export with its checksums.

    Raises:
        InputError: if a file is missing or damaged.
    """
    try:
        expected = parse_json((version / CHECKSUMS).read_bytes())
        if not isinstance(expected, dict):
            raise ValueError("it is not an object")
        wrong = [name for name, known in expected.items() if digest(version / name) != known]
    except FileNotFoundError as error:
        if Path(error.filename) == version / CHECKSUMS:
            return
        raise _damaged(Path(error.filename)) from error
    except (OSError, ValueError) as error:
        raise _damaged(version / CHECKSUMS) from error
    if wrong:
        raise _damaged(version / wrong[0])


def _damaged(path):
    return InputError(
        f"{path} is missing or does not match {CHECKSUMS}; restore it, or remove "
        "that version and export the model again."
    )


def _files(version):
    paths = [path for path in version.rglob("*") if path.is_file()]
    return sorted(str(path.relative_to(version)) for path in paths)
