"""An exported model as a `Scorer`, to be evaluated on any state of the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from hmar_keras.models.sequential_recommender import LOWEST_SCORE
from hmar_keras.schema import BEHAVIOR_IDS, ITEM_IDS
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.export.checksums import check_export
from pipelines.export.signatures import LEAVES_OUT
from pipelines.protocol.questions import history_features, newest_events
from pipelines.protocol.splits import EvaluationSet
from pipelines.runtime.errors import InputError

_ANSWERS_AT_ONCE = 1 << 21  # item names, 50 MB
_ALL = np.iinfo(np.int32).max  # the signature returns as many as there are


class ExportedScorer:
    """A SavedModel that is queried with names, as by a client, but leaves out no item.

    Its catalogue may differ from the dataset's: items that it does not know get the lowest score,
    and items that the dataset does not know are ignored.

    Args:
        version: directory of the exported model.
        dataset: the dataset of the questions.

    Raises:
        InputError: if the model cannot be loaded.
    """

    def __init__(self, version: Path, dataset: InteractionDataset):
        check_export(version)
        try:
            # Kept, because otherwise its variables would be collected.
            self._model = tf.saved_model.load(str(version))
            self._recommend = self._model.signatures["recommend"]
            _leave_out_nothing(self._recommend)
            self._count = (version / "assets" / "items.txt").read_bytes().count(b"\n")
        except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
            raise InputError(
                f"{version} does not hold a complete export ({type(error).__name__}), so nothing "
                "can be compared with it; remove that version, or export without --bless."
            ) from error
        self._dataset = dataset
        self._items = np.concatenate([[""], dataset.items])
        self._behaviors = np.array(["", *dataset.behaviors.names])
        self._ids = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(dataset.items), tf.range(1, dataset.num_items + 1)
            ),
            default_value=0,
        )

    def __call__(self, questions: EvaluationSet) -> np.ndarray:
        """Returns scores, float32 [questions, num_items + 1]."""
        size = max(1, _ANSWERS_AT_ONCE // max(self._count, 1))
        parts = [slice(start, start + size) for start in range(0, len(questions), size)]
        return np.concatenate([self._scores(questions.take(part)) for part in parts])

    def _scores(self, questions):
        longest = int((questions.ends - questions.starts).max(initial=1))
        length = max(longest, 1)
        read = history_features(self._dataset, questions, length)
        events, _ = newest_events(np, questions.starts, questions.ends, np.arange(length, 0, -1))
        given = {
            "items": self._items[read[ITEM_IDS]],
            "behaviors": self._behaviors[read[BEHAVIOR_IDS]],
            "users": self._dataset.users[questions.users],
            "times": self._dataset.timestamps[events],
        }
        _, takes = self._recommend.structured_input_signature
        answer = self._recommend(
            **{name: tf.constant(each) for name, each in given.items() if name in takes},
            k=tf.constant(_ALL),
            exclude_seen=tf.constant(False),
        )
        scores = np.full((len(questions), self._dataset.num_items + 1), LOWEST_SCORE, np.float32)
        ids = self._ids.lookup(answer["items"]).numpy()
        np.put_along_axis(scores, ids, answer["scores"].numpy(), axis=1)
        return scores


def _leave_out_nothing(recommend):
    """Makes a loaded signature answer with all items; in this process, not in the files."""
    for variable in recommend.variables:
        if variable.name == f"{LEAVES_OUT}:0":
            variable.assign(tf.zeros_like(variable))
