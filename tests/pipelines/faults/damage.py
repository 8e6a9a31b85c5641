"""Damage to files, as caused by a disk, an interrupted copy, or an editor."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

VALUES = (float("nan"), float("inf"), -(10**400), "text", None, [], {}, True, -1)
FOLDER = "folder"  # a directory in place of the file


def files_of(tree: Path) -> list[str]:
    """Returns the files that are read back, as paths relative to the tree."""
    paths = sorted(path for path in tree.rglob("*") if path.is_file())
    written_only = ("tensorboard", "workers", "run.lock")
    return [
        str(path.relative_to(tree))
        for path in paths
        if not any(name in written_only for name in path.relative_to(tree).parts)
    ]


def damages(path: Path, rng: random.Random, others: list[Path]) -> Iterator[tuple[str, object]]:
    """Yields names of damages, each with the damaged content of a file.

    Args:
        path: of the intact file.
        rng: chooses positions and values.
        others: valid files of the same kind, which may take its place.

    Yields:
        pairs of a name and a content: bytes, `FOLDER`, or None for a missing file.
    """
    content = path.read_bytes()
    yield "missing", None
    yield "folder", FOLDER
    yield "empty", b""
    if content:
        yield "cut", content[: rng.randrange(len(content))]
        yield "longer", content + b"\0"
        for _ in range(2):
            place, bit = rng.randrange(len(content)), rng.randrange(8)
            flipped = bytes([content[place] ^ (1 << bit)])
            yield f"bit {bit} of {place}", content[:place] + flipped + content[place + 1 :]
    yield "nested", b"[" * 100_000
    yield "something else", b"{}"
    for other in others:
        if other.is_file() and other.read_bytes() != content:
            yield f"that is {other.name} of another", other.read_bytes()
    if path.suffix == ".json":
        yield from changed_json(content, rng)


def changed_json(content: bytes, rng: random.Random, number: int = 3):
    """Yields valid JSON with one value changed or removed."""
    places = list(_places(json.loads(content)))
    for place in rng.sample(places, min(number, len(places))):
        changed = json.loads(content)
        inner = changed
        for key in place[:-1]:
            inner = inner[key]
        value = rng.choice((*VALUES, "missing"))
        if value == "missing":
            del inner[place[-1]]
        else:
            inner[place[-1]] = value
        yield f"{place} {value!s:.9}", json.dumps(changed).encode()


def _places(value, before=()):
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        yield (*before, key)
        if isinstance(inner, dict | list):
            yield from _places(inner, (*before, key))


def put(path: Path, content) -> None:
    """Replaces a file with damaged content."""
    path.unlink()
    if content == FOLDER:
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
