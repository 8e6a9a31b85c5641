"""Writes a SavedModel, completely or not at all, as the next version of a model."""

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
from hmar_keras.reasons import has_reasons
from hmar_keras.schema import USER_IDS
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
    users: np.ndarray | None = None,
    leaves_out: Sequence[str] = (),
) -> Path:
    """Writes the next version of a SavedModel.

    Args:
        model: the trained model.
        items: str [num_items], the vocabulary.
        popularity: float [num_items + 1] by item id.
        directory: directory of the model's versions, `saved_models/NAME`.
        provenance: dataset, seed and so on, for the model card.
        histories: real histories for the warm-up requests; without any, no requests are written.
        retrieval: one of `RETRIEVALS`, how `recommend` finds the best items.
        users: str [users], for a model that reads `user_ids`.
        leaves_out: behaviours. `recommend` leaves out items whose strongest behaviour in the
            history is one of them.

    Returns:
        the directory of the version.

    Raises:
        InputError: if it cannot be written, a name has a line break, the names of users are
            missing, or the retrieval is not available.
    """
    directory = Path(directory)
    nearest = _nearest(retrieval, model)
    vocabularies = {"item": items}
    if USER_IDS in model.features:
        if users is None:
            raise InputError(f"{type(model).__name__} reads users; give their names to export.")
        vocabularies["user"] = users
    for what, names in vocabularies.items():
        if any("\n" in name or "\r" in name for name in names.tolist()):
            raise InputError(
                f"the name of at least one {what} has a line break; remove it, since a vocabulary "
                "has one name per line."
            )
    size = _size(model) + sum(names.nbytes for names in vocabularies.values())
    require_room(directory, _COPIES * size, libraries=True)
    interruption = Interruption()
    with make_temporary(directory) as temporary, interruption.listening():
        complete = temporary / "complete"
        asked = interruption.raise_if_asked
        serving = _serving(model, vocabularies, popularity, temporary, nearest, leaves_out)
        signatures = _write(model, serving, complete, asked)
        if histories:
            write_warmup(complete / WARMUP, directory.name, signatures, histories)
        chosen = {"retrieval": retrieval, "leaves_out": list(leaves_out)}
        metadata = {"config": model.config.to_dict(), **chosen, **provenance}
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
                f"{directory} has version {LARGEST}, the last possible one; "
                "choose another --name, or move that version away."
            )
        version = directory / str(number)
        try:
            os.rename(complete, version)  # fails if the version exists, as none is empty
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return version


@contextlib.contextmanager
def make_temporary(directory: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary directory inside `directory`, which is created if necessary.

    TensorFlow Serving reads only directories named by whole numbers, so its content is not served.
    Directories of killed exports are removed.

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
            f"{directory} cannot be written ({error.strerror or error}); free disk space and check "
            "the permissions, or choose another directory."
        ) from error


def _size(model):
    return sum(4 * math.prod(each.shape) for each in model.weights)


def _nearest(retrieval, model):
    """Returns the first stage of a two-stage retrieval; None for `PRODUCT`."""
    check_retrieval(retrieval)
    if retrieval == PRODUCT:
        return None
    if type(model).query is SequentialRecommender.query:
        raise InputError(
            f"{type(model).__name__} has no `query`, which --retrieval {retrieval} needs for the "
            "item table; define it, or omit --retrieval."
        )
    from pipelines.export.retrieval import nearest_items

    return nearest_items(retrieval, model.item_table)


def _serving(model, vocabularies, popularity, temporary, nearest, leaves_out):
    """Returns the functions behind the signatures, with their vocabularies."""
    files = {}
    for what, names in vocabularies.items():
        files[what] = temporary / f"{what}s.txt"
        files[what].write_text("".join(f"{name}\n" for name in names.tolist()))
    popularity = np.asarray(popularity, np.float32).copy()
    popularity[0] = LOWEST_SCORE
    users = files.get("user")
    return ServingModel(model, popularity, files["item"], nearest, users, leaves_out)


def _write(model, serving, complete, asked):
    """Writes graph, weights and vocabularies; returns the names of the signatures."""
    archive = keras.export.ExportArchive()
    for table in serving.tables():
        archive.track(table)
    given = [STRINGS, STRINGS]
    endpoints = {
        "serving_default": serving.endpoint(serving.recommend, [*given, K, EXCLUDE_SEEN]),
        "recommend": serving.endpoint(serving.recommend, [*given, K, EXCLUDE_SEEN]),
        "examples": (serving.examples, [EXAMPLES]),
        "rank": serving.endpoint(serving.rank, [*given, STRINGS]),
        "explain": serving.endpoint(serving.explain, given),
    }
    if hasattr(model, "behavior_logits"):
        endpoints["behavior"] = serving.endpoint(serving.behavior, [*given, STRINGS])
    if has_reasons(model):
        endpoints["reasons"] = serving.endpoint(serving.reasons, [*given, STRINGS])
    with portable_kernels():  # the export may run on a GPU
        for name, (function, inputs) in endpoints.items():
            archive.add_endpoint(name, function, inputs)
            asked()
    archive.write_out(str(complete), verbose=False)
    asked()
    return list(endpoints)
