"""Runs an exported SavedModel; needs nothing but the export."""

from __future__ import annotations

import os
from pathlib import Path

import tensorflow as tf

from pipelines.description.reason_text import Reason
from pipelines.export.checksums import check_export
from pipelines.export.model_card import parse_metadata
from pipelines.runtime.errors import InputError, in_one_line
from pipelines.runtime.model_versions import versions

_CONTEXT = {"users": tf.string, "times": tf.int64}


class Recommender:
    """A loaded SavedModel.

    Args:
        directory: a version, `saved_models/NAME/VERSION`, or `saved_models/NAME` for the latest.

    Raises:
        InputError: if there is no export, or it is damaged.
    """

    def __init__(self, directory: str | os.PathLike):
        self.directory = _version(Path(directory))
        check_export(self.directory)
        try:
            metadata = parse_metadata(self.directory)
            items = (self.directory / "assets" / "items.txt").read_text().split("\n")[:-1]
            if len(items) != metadata["config"].get("num_items", len(items)):
                raise ValueError("items.txt is not as long as the catalogue")
            # Kept, because otherwise its variables would be collected.
            self._model = tf.saved_model.load(str(self.directory))
            self._recommend = self._model.signatures["recommend"]
        except Exception as error:  # TensorFlow raises almost any error
            raise InputError(
                f"{self.directory} does not hold a complete export ({type(error).__name__}: "
                f"{in_one_line(error)}); export the model again."
            ) from error
        self.behaviors = metadata["config"]["behaviors"]["names"]
        self.vocabulary = set(items)

    def __call__(
        self,
        history: list[tuple[str, str]],
        k: int = 10,
        exclude_seen: bool = False,
        user: str | None = None,
        times: list[int] | None = None,
    ) -> list[tuple[str, float]]:
        """Returns the best `k` items after a history, as (item, score), best first.

        Args:
            history: (item, behaviour), oldest first.
            k: number of items.
            exclude_seen: whether the items of the history are left out.
            user: the log's user behind the history; None for an unknown user.
            times: times of the events, in the log's own unit.

        Raises:
            InputError: if the model does not read the users or times given, or there is not one
                time per event.
        """
        answer = self._recommend(
            k=tf.constant(k),
            exclude_seen=tf.constant(exclude_seen),
            **self._inputs(history, user, times),
        )
        items = [item.decode() for item in answer["items"][0].numpy()]
        scores = answer["scores"][0].numpy().tolist()
        return [pair for pair in zip(items, scores, strict=True) if pair[0]]

    def reasons(
        self,
        history: list[tuple[str, str]],
        items: list[str],
        user: str | None = None,
        times: list[int] | None = None,
    ) -> list[Reason]:
        """Returns what speaks most for each of some items of the catalogue.

        Args:
            history: as in a call, like `user` and `times`.
            items: the items.

        Raises:
            InputError: as a call does, or if the export gives no reasons.
        """
        if "reasons" not in self._model.signatures:
            raise InputError(
                f"the export in {self.directory} gives no reasons, because its model has no "
                "memory; omit --explain, or train with --set memory=true and export again."
            )
        inputs = self._inputs(history, user, times)
        asked = tf.constant([items], tf.string)
        answer = self._model.signatures["reasons"](candidates=asked, **inputs)
        told = {name: values[0].numpy() for name, values in answer.items() if name != "unknown"}
        names = [name.decode() for name in told["names"]]
        columns = (told[name] for name in ("kinds", "items", "behaviors", "ago", "counts"))
        return [
            Reason(
                kind.decode(),
                item.decode(),
                behavior.decode(),
                int(ago),
                list(zip(names, counts.tolist(), strict=True)),
            )
            for kind, item, behavior, ago, counts in zip(*columns, strict=True)
        ]

    def _inputs(self, history, user, times):
        """Returns what all signatures read of a history, with the defaults of a server."""
        context = {} if user is None else {"users": [user]}
        context |= {} if times is None else {"times": [times]}
        _, takes = self._recommend.structured_input_signature
        for name in context:
            if name not in takes:
                raise InputError(f"the model in {self.directory} reads no {name}; omit them.")
        if times is not None and len(times) != len(history):
            raise InputError(
                f"{len(times)} times are given for {len(history)} events; give one per event."
            )
        usual = {"users": [""], "times": [[0] * len(history)]}
        context = {name: context.get(name, usual[name]) for name in usual if name in takes}
        items, behaviors = zip(*history, strict=True) if history else ((), ())
        return {
            "items": tf.constant([items], tf.string),
            "behaviors": tf.constant([behaviors], tf.string),
            **{name: tf.constant(values, _CONTEXT[name]) for name, values in context.items()},
        }


def _version(directory):
    if (directory / "saved_model.pb").is_file():
        return directory
    there = versions(directory)
    if not there:
        raise InputError(
            f"{directory} holds no exported model; give saved_models/NAME as --model, or create "
            "one with hmar export."
        )
    return there[max(there)]
