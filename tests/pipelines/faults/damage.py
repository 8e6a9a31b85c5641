"""Damage to files: what a disk, a copy that was cut off, or an editor does to them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

VALUES = (float("nan"), float("inf"), -(10**400), "text", None, [], {}, True, -1)
FOLDER = "folder"  # in place of the file


def files_of(tree: Path) -> list[str]:
    """The files that are read back, by their paths in the tree."""
    paths = sorted(path for path in tree.rglob("*") if path.is_file())
    written_only = ("tensorboard", "workers", "run.lock")
    return [
        str(path.relative_to(tree))
        for path in paths
        if not any(name in written_only for name in path.relative_to(tree).parts)
    ]


def damages(path: Path, rng: random.Random, others: list[Path]) -> Iterator[tuple[str, object]]:
    """Yields names and contents that a file may have after damage.

    Args:
        path: of the whole file.
        rng: chooses places and values.
        others: valid files of the same kind, which may stand in its place.

    Yields:
        contents as bytes, `FOLDER`, or None for a file that is missing.
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
    """Yields valid JSON with another value somewhere, or without one."""
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
    """Puts a damaged content in place of a file."""
    path.unlink()
    if content == FOLDER:
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
