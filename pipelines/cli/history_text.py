"""Histories as text, for the command line."""

from __future__ import annotations

import json

from pipelines.runtime.errors import InputError
from pipelines.runtime.printable import printable
from pipelines.storage.json_text import parse_json

_LATEST = (1 << 63) - 1


def parse_history(text: str, behaviors: list[str]) -> list[tuple[str, str]]:
    """Parses `"item:behaviour,item:behaviour"`, oldest first.

    Items with commas, or with blanks around them, need JSON: `'[["item", "behaviour"], ...]'`.

    Raises:
        InputError: if the text has neither form or a behaviour is unknown.
    """
    if text.lstrip().startswith("["):
        pairs = _json_history(text)
    else:
        pairs = [_event(event.strip(), behaviors) for event in text.split(",")]
    for _, behavior in pairs:
        if behavior not in behaviors:
            raise InputError(
                f"--history names the unknown behaviour {behavior!r}; the model knows "
                f"{', '.join(behaviors)}."
            )
    return pairs


def parse_times(text: str | None) -> list[int] | None:
    """Parses `"12,15"`, one time per event.

    Raises:
        InputError: if one of them is not a whole number of 64 bits.
    """
    if text is None:
        return None
    try:
        times = [int(part) for part in text.split(",")]
    except ValueError:
        times = [_LATEST + 1]
    if not all(-_LATEST <= time <= _LATEST for time in times):
        raise InputError(
            f"--times {text!r} is not a list of whole numbers; write, for example, '1700000000,"
            "1700000060'."
        )
    return times


def format_history(history: list[tuple[str, str]]) -> str:
    """Returns a history as `parse_history` reads it, in the short form where possible."""
    text = ",".join(f"{item}:{behavior}" for item, behavior in history)
    parts = [part.strip() for part in text.split(",")]
    plain = parts == [f"{item}:{behavior}" for item, behavior in history]
    if plain and not text.startswith("[") and text == printable(text):
        return text
    text = json.dumps(history, ensure_ascii=False)
    return text if text == printable(text) else json.dumps(history)  # escapes the rest


def _json_history(text):
    try:
        pairs = [(item, behavior) for item, behavior in parse_json(text)]
    except (TypeError, ValueError):
        pairs = []
    if not pairs or not all(isinstance(part, str) for pair in pairs for part in pair):
        raise InputError(
            "--history starts like JSON but is not a list of pairs; write, for example, "
            '\'[["12", "view"]]\'.'
        )
    return pairs


def _event(text, behaviors):
    # Behaviours and items may contain colons; the longest behaviour that matches wins.
    for behavior in sorted(behaviors, key=len, reverse=True):
        if text.endswith(f":{behavior}") and len(text) > len(behavior) + 1:
            return text.removesuffix(f":{behavior}"), behavior
    item, colon, behavior = text.rpartition(":")
    if not colon or not item:
        raise InputError(
            f"--history has {text!r} where item:behaviour is expected; write, for example, "
            f"'12:{behaviors[0]},7:{behaviors[-1]}'."
        )
    return item, behavior
