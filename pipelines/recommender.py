"""Asks an exported SavedModel; needs nothing but the export."""

from __future__ import annotations

import json
import os
from pathlib import Path

import tensorflow as tf

from pipelines.errors import InputError


class Recommender:
    """A SavedModel, loaded.

    Args:
        directory: a version, `saved_models/NAME/VERSION`, or `saved_models/NAME` for the latest.

    Raises:
        InputError: if there is no export.
    """

    def __init__(self, directory: str | os.PathLike):
        self.directory = _version(Path(directory))
        try:
            metadata = json.loads((self.directory / "assets.extra" / "hmar.json").read_text())
            # Kept, or its variables would be collected.
            self._model = tf.saved_model.load(str(self.directory))
            self._recommend = self._model.signatures["recommend"]
        except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
            raise InputError(
                f"{self.directory} does not hold a whole export ({type(error).__name__}); export "
                "the model again."
            ) from error
        self.behaviors = metadata["config"]["behaviors"]["names"]
        self.vocabulary = set((self.directory / "assets" / "items.txt").read_text().split("\n"))

    def __call__(
        self, history: list[tuple[str, str]], k: int = 10, exclude_seen: bool = False
    ) -> list[tuple[str, float]]:
        """The best `k` items after a history of (item, behaviour), oldest first."""
        items, behaviors = ([list(column)] for column in zip(*history, strict=True))
        answer = self._recommend(
            items=tf.constant(items),
            behaviors=tf.constant(behaviors),
            k=tf.constant(k),
            exclude_seen=tf.constant(exclude_seen),
        )
        items = [item.decode() for item in answer["items"][0].numpy()]
        scores = answer["scores"][0].numpy().tolist()
        return [pair for pair in zip(items, scores, strict=True) if pair[0]]


def parse_history(text: str, behaviors: list[str]) -> list[tuple[str, str]]:
    """Reads `"item:behaviour,item:behaviour"`, oldest first.

    Items with commas or blanks around them are given as JSON: `'[["item", "behaviour"], ...]'`.

    Raises:
        InputError: if it is of neither form or a behaviour is unknown.
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


def format_history(history: list[tuple[str, str]]) -> str:
    """A history as `parse_history` reads it, in the shorter form if that will do."""
    text = ",".join(f"{item}:{behavior}" for item, behavior in history)
    parts = [part.strip() for part in text.split(",")]
    plain = parts == [f"{item}:{behavior}" for item, behavior in history]
    return text if plain and not text.startswith("[") else json.dumps(history, ensure_ascii=False)


def _json_history(text):
    try:
        pairs = [(item, behavior) for item, behavior in json.loads(text)]
    except (TypeError, ValueError):
        pairs = []
    if not pairs or not all(isinstance(part, str) for pair in pairs for part in pair):
        raise InputError(
            "--history begins like JSON but is no list of pairs; write for instance "
            '\'[["12", "view"]]\'.'
        )
    return pairs


def _event(text, behaviors):
    # A behaviour may have a colon in it, as an item may; the longest that fits is meant.
    for behavior in sorted(behaviors, key=len, reverse=True):
        if text.endswith(f":{behavior}") and len(text) > len(behavior) + 1:
            return text.removesuffix(f":{behavior}"), behavior
    item, colon, behavior = text.rpartition(":")
    if not colon or not item:
        raise InputError(
            f"--history has {text!r} where item:behaviour is expected; write for instance "
            f"'12:{behaviors[0]},7:{behaviors[-1]}'."
        )
    return item, behavior


def _version(directory):
    if (directory / "saved_model.pb").is_file():
        return directory
    versions = (
        [int(path.name) for path in directory.iterdir() if path.name.isdecimal()]
        if directory.is_dir()
        else []
    )
    if not versions:
        raise InputError(
            f"{directory} holds no exported model; give saved_models/NAME as --model, or make one "
            "with hmar export."
        )
    return directory / str(max(versions))
