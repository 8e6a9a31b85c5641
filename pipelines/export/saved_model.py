"""Writes a SavedModel, whole or not at all, as the next version of a model."""

from __future__ import annotations

import contextlib
import errno
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

from hmar_keras.kernels import portable_kernels
from hmar_keras.models import SequentialRecommender
from hmar_keras.models.sequential_recommender import LOWEST_SCORE
from hmar_keras.schema import BEHAVIOR
from pipelines.export.checksums import write_checksums
from pipelines.export.model_card import write_card
from pipelines.export.signatures import EXAMPLES, EXCLUDE_SEEN, STRINGS, K, ServingModel
from pipelines.export.warmup import PLACE as WARMUP
from pipelines.export.warmup import History, write_warmup
from pipelines.runtime.errors import InputError
from pipelines.runtime.interruption import Interruption
from pipelines.runtime.model_versions import LARGEST, versions
from pipelines.runtime.retrievals import PRODUCT, check_retrieval
from pipelines.storage.artefacts import require_room, synchronize_tree
from pipelines.storage.locks import remove_abandoned, temporary_directory

_PREFIX = ".exporting-"
_COPIES = 2  # of the weights, while TensorFlow merges the shards that it writes


def export(
    model: SequentialRecommender,
    items: np.ndarray,
    popularity: np.ndarray,
    directory: str | os.PathLike,
    provenance: dict,
    histories: Sequence[History] = (),
    retrieval: str = PRODUCT,
) -> Path:
    """Writes the next version of a SavedModel.

    Args:
        model: the trained model.
        items: str [num_items], the vocabulary.
        popularity: float [num_items + 1] by item id.
        directory: of the model's versions, `saved_models/NAME`.
        provenance: dataset, seed and the like, for the model card.
        histories: some real ones, for the requests that warm the model up; without any there are
            none.
        retrieval: one of `RETRIEVALS`, how `recommend` finds the best items.

    Returns:
        the directory of the version.

    Raises:
        InputError: if it cannot be written, an item's name has a line break, or the retrieval
            is not to be had.
    """
    directory = Path(directory)
    nearest = _nearest(retrieval, model)
    if any("\n" in item or "\r" in item for item in items.tolist()):
        raise InputError("an item's name has a line break, which a vocabulary cannot hold.")
    require_room(directory, _COPIES * _size(model, items), libraries=True)
    interruption = Interruption()
    with make_temporary(directory) as temporary, interruption.listening():
        complete = temporary / "complete"
        asked = interruption.raise_if_asked
        signatures = _write(model, items, popularity, temporary, complete, nearest, asked)
        if histories:
            write_warmup(complete / WARMUP, directory.name, signatures, histories)
        metadata = {"config": model.config.to_dict(), "retrieval": retrieval, **provenance}
        write_card(complete, directory.name, type(model).__name__, metadata)
        write_checksums(complete)
        synchronize_tree(complete)
        asked()
        return _publish(complete, directory)


def _publish(complete, directory):
    """Renames a complete export to the next version; another exporter may take the number first."""
    while True:
        number = max(versions(directory), default=0) + 1
        if number > LARGEST:
            raise InputError(
                f"{directory} has version {LARGEST}, which is the last one that there can be; "
                "choose another --name, or move that version away."
            )
        version = directory / str(number)
        try:
            os.rename(complete, version)  # fails where the version exists, as none is empty
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return version


@contextlib.contextmanager
def make_temporary(directory: str | os.PathLike) -> Iterator[Path]:
    """Gives a new directory inside one that is made if need be, and removes it afterwards.

    TensorFlow Serving looks at whole numbers alone, so what lies there is not served. Directories
    of killed exports are removed.

    Raises:
        InputError: if the directory cannot be written.
    """
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
        remove_abandoned(Path(directory), f"{_PREFIX}*")
        with temporary_directory(Path(directory), _PREFIX) as temporary:
            yield temporary
    except OSError as error:
        raise InputError(
            f"{directory} cannot be written ({error.strerror or error}); make room and check the "
            "permissions, or choose another directory."
        ) from error


def _size(model, items):
    return sum(4 * math.prod(each.shape) for each in model.weights) + items.nbytes


def _nearest(retrieval, model):
    """The first stage of a retrieval in two; None for the one product."""
    check_retrieval(retrieval)
    if retrieval == PRODUCT:
        return None
    if type(model).catalog_query is SequentialRecommender.catalog_query:
        raise InputError(
            f"{type(model).__name__} has no catalog_query, which --retrieval {retrieval} asks its "
            "item table with; define it, or leave --retrieval out."
        )
    from pipelines.export.retrieval import nearest_items

    return nearest_items(retrieval, model.item_table)


def _write(model, items, popularity, temporary, complete, nearest, asked):
    """Writes graph, weights and vocabulary; returns the names of the signatures."""
    vocabulary = temporary / "items.txt"
    vocabulary.write_text("".join(f"{item}\n" for item in items.tolist()))
    popularity = np.asarray(popularity, np.float32).copy()
    popularity[0] = LOWEST_SCORE
    serving = ServingModel(model, popularity, vocabulary, nearest)
    archive = keras.export.ExportArchive()
    for table in (serving.item_lines, serving.item_names, serving.behavior_ids):
        archive.track(table)
    given = [STRINGS, STRINGS]
    endpoints = {
        "serving_default": (serving.recommend, [*given, K, EXCLUDE_SEEN]),
        "recommend": (serving.recommend, [*given, K, EXCLUDE_SEEN]),
        "examples": (serving.examples, [EXAMPLES]),
        "rank": (serving.rank, [*given, STRINGS]),
        "explain": (serving.explain, given),
    }
    if BEHAVIOR in model.outputs_in_order:
        endpoints["behavior"] = (serving.behavior, [*given, STRINGS])
    with portable_kernels():  # it may be served on a GPU
        for name, (function, inputs) in endpoints.items():
            archive.add_endpoint(name, function, inputs)
            asked()
    archive.write_out(str(complete), verbose=False)
    asked()
    return list(endpoints)
