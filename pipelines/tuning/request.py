"""Starts a search, or opens one to resume it.

tuning.json     the request: data, settings to begin with, space, algorithm, budget
search/         KerasTuner's state, and a run per trial, as from `hmar train`
workers/        the workers' output
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

import keras_tuner

from hmar_keras.earlier_settings import EarlierVersionError
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.runtime.errors import InputError
from pipelines.runtime.hardware import Hardware
from pipelines.storage.artefacts import write_json
from pipelines.training.run_config import RunConfig, unregistered
from pipelines.training.run_directory import new_directory, read_json_object
from pipelines.training.validation import MONITORED, validation_names
from pipelines.tuning.oracles import ALGORITHMS, make_oracle
from pipelines.tuning.space import Choices, Range, SearchSpace
from pipelines.workflow.preparation import (
    check_trained_alike,
    prepare_request,
    requested_config,
)
from pipelines.workflow.request import Request
from pipelines.workflow.run_data import SOURCE, load_source, load_to_resume, source_of

FILE = "tuning.json"
_OWN = ("config", "space", "algorithm", "objective", "max_trials", "seed")
_DECIDES = "val_ndcg@10"  # what users call `MONITORED`


@dataclasses.dataclass(frozen=True)
class Asked:
    """The requested options of a search; None for the default, or unchanged on resumption.

    Args:
        algorithm: one of `ALGORITHMS`; by default bayesian.
        objective: `val_ndcg@10`, which early stopping uses, or a name in `validation_names()`.
        max_trials: number of trials; by default 20.
        space: file of ranges.
        over: names of the settings to search.
    """

    algorithm: str | None = None
    objective: str | None = None
    max_trials: int | None = None
    space: str | None = None
    over: tuple[str, ...] | None = None

    def __post_init__(self):
        if self.algorithm not in (None, *ALGORITHMS):
            raise InputError(
                f"unknown algorithm {self.algorithm!r}; choose from {', '.join(ALGORITHMS)}."
            )
        names = [_DECIDES, *validation_names()]
        if self.objective not in (None, *names):
            raise InputError(
                f"unknown objective {self.objective!r}; choose from {', '.join(names)}."
            )

    def monitored(self) -> str | None:
        """Returns the objective's name in a run's history."""
        return MONITORED if self.objective == _DECIDES else self.objective


@dataclasses.dataclass(frozen=True)
class Tuning:
    """A search and its directory.

    Args:
        path: its directory.
        content: content of `tuning.json`.
    """

    path: Path
    content: dict

    @property
    def space(self) -> SearchSpace:
        """The search space."""
        entries = {
            name: Choices(tuple(each["choices"])) if "choices" in each else Range(**each)
            for name, each in self.content["space"].items()
        }
        return SearchSpace(RunConfig.from_dict(self.content["config"]), entries)

    @property
    def hardware(self) -> Hardware:
        """The hardware that trials are trained on."""
        used = self.content["hardware"][-1]
        # Searches of earlier versions lack this entry; they kept the data on the host.
        known = {"data_on_device": False, **used}
        return Hardware(**{each.name: known[each.name] for each in dataclasses.fields(Hardware)})

    @property
    def source(self) -> dict:
        """Data and software versions for the `run.json` of each trial."""
        return source_of(self.content)

    def oracle(self) -> keras_tuner.Oracle:
        """Builds the oracle, which creates the trials."""
        content = self.content
        asked = (content["objective"], content["max_trials"], content["seed"])
        return make_oracle(content["algorithm"], self.space, *asked)

    def load_dataset(self) -> InteractionDataset:
        """Loads the dataset.

        Raises:
            InputError: if it cannot be loaded or has changed.
        """
        return load_source(self.content, self.path)


def create(
    request: Request, asked: Asked, output: str | os.PathLike, overwrite: bool = False
) -> tuple[Tuning, InteractionDataset]:
    """Creates the directory of a new search and loads its dataset.

    Args:
        request: data, settings to begin with, and hardware, as for a training.
        asked: the options of the search.
        output: the directory.
        overwrite: whether to replace a search that is there.

    Raises:
        InputError: if the request cannot be met or the directory exists.
    """
    path = Path(output)
    dataset, config, origin = prepare_request(request)
    content = {
        **origin,
        "config": config.to_dict(),
        "space": SearchSpace.of(config, asked.space, asked.over).to_dict(),
        "algorithm": asked.algorithm or "bayesian",
        "objective": asked.monitored() or MONITORED,
        "max_trials": asked.max_trials or 20,
        "seed": request.seed,
    }
    replaced = path.with_name(f".{path.name}.replaced")
    if overwrite and (path / FILE).is_file():  # nothing but a search is ever deleted
        shutil.rmtree(replaced, ignore_errors=True)
        path.rename(replaced)
    new_directory(path)
    write_json(path / FILE, content)
    shutil.rmtree(replaced, ignore_errors=True)  # only once its successor exists
    return Tuning(path, content), dataset


def resumed(
    request: Request, asked: Asked, output: str | os.PathLike | None
) -> tuple[Tuning, InteractionDataset]:
    """Opens a search to resume it, with another number of trials if one is requested.

    Raises:
        InputError: if there is none, its dataset cannot be loaded, or other data or another search
            is requested.
    """
    if output is None:
        raise InputError("--resume needs the directory of the tuning as --output.")
    path = Path(output)
    content = read_tuning(path).content
    dataset = load_to_resume(request, content, path)
    _check_same(path, content, request, asked, dataset)
    content |= {"max_trials": asked.max_trials or content["max_trials"]}
    write_json(path / FILE, content)
    return Tuning(path, content), dataset


def _check_same(path, content, request, asked, dataset):
    config = RunConfig.from_dict(content["config"])
    chosen = request.preset or request.config_file or request.assignments or request.epochs
    if chosen or request.model is not None:
        config = requested_config(request, dataset, request.epochs or config.training.epochs)
    now = {"config": config.to_dict(), "seed": request.seed}
    now |= {"algorithm": asked.algorithm, "objective": asked.monitored()}
    if asked.space or asked.over:
        now["space"] = json.loads(
            json.dumps(SearchSpace.of(config, asked.space, asked.over).to_dict())
        )
    for name, value in now.items():
        if value is not None and value != content[name]:
            raise InputError(
                f"{path} was started with another {name} (see its {FILE}); resume it with that "
                "one, or start a new search."
            )
    check_trained_alike(path, content, request.hardware)


def read_tuning(path: Path) -> Tuning:
    """Reads a search from its directory.

    Raises:
        InputError: if there is none, or its file is not valid.
    """
    content = read_json_object(path / FILE, "a tuning", (*SOURCE, *_OWN))
    try:
        config = RunConfig.from_dict(content["config"])
        content["config"] = config.to_dict()  # in this version's terms
        tuning = Tuning(path, content)
        _ = tuning.space, tuning.hardware
        if content["objective"] not in validation_names():
            raise ValueError(f"unknown objective {content['objective']!r}.")
    except EarlierVersionError as error:
        raise InputError(f"{path / FILE}: {error}") from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        fault = unregistered(content["config"]) or f"{error} Restore it."
        raise InputError(f"{path / FILE}: {fault}") from error
    return tuning
