"""Begins a search, or finds one that is to be continued.

tuning.json     what was asked for: data, settings to begin with, space, algorithm, budget
search/         KerasTuner's state, and of every trial its run, as of `hmar train`
workers/        what the workers said
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
_DECIDES = "val_ndcg@10"  # what it is to a user


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a search shall be; None for the default, or for what it has been.

    Args:
        algorithm: one of `ALGORITHMS`; by default bayesian.
        objective: `val_ndcg@10`, by which trainings stop, or a name of `validation_names()`.
        max_trials: how many trials; by default 20.
        space: file of ranges.
        over: names of settings.
    """

    algorithm: str | None = None
    objective: str | None = None
    max_trials: int | None = None
    space: str | None = None
    over: tuple[str, ...] | None = None

    def __post_init__(self):
        if self.algorithm not in (None, *ALGORITHMS):
            raise InputError(
                f"unknown algorithm {self.algorithm!r}; there are {', '.join(ALGORITHMS)}."
            )
        names = [_DECIDES, *validation_names()]
        if self.objective not in (None, *names):
            raise InputError(f"unknown objective {self.objective!r}; there are {', '.join(names)}.")

    def monitored(self) -> str | None:
        """The objective as a run's history calls it."""
        return MONITORED if self.objective == _DECIDES else self.objective


@dataclasses.dataclass(frozen=True)
class Tuning:
    """A search that has been asked for.

    Args:
        path: its directory.
        content: what `tuning.json` holds.
    """

    path: Path
    content: dict

    @property
    def space(self) -> SearchSpace:
        """What is searched."""
        entries = {
            name: Choices(tuple(each["choices"])) if "choices" in each else Range(**each)
            for name, each in self.content["space"].items()
        }
        return SearchSpace(RunConfig.from_dict(self.content["config"]), entries)

    @property
    def hardware(self) -> Hardware:
        """What trials are trained on."""
        used = self.content["hardware"][-1]
        # Old searches have no such entry; their data was on the host.
        known = {"data_on_device": False, **used}
        return Hardware(**{each.name: known[each.name] for each in dataclasses.fields(Hardware)})

    @property
    def source(self) -> dict:
        """What the `run.json` of each trial keeps of the data and the software."""
        return source_of(self.content)

    def oracle(self) -> keras_tuner.Oracle:
        """What gives the trials, new or as far as it has come."""
        content = self.content
        asked = (content["objective"], content["max_trials"], content["seed"])
        return make_oracle(content["algorithm"], self.space, *asked)

    def load_dataset(self) -> InteractionDataset:
        """The dataset.

        Raises:
            InputError: if it cannot be loaded or is no longer the same.
        """
        return load_source(self.content, self.path)


def create(
    request: Request, asked: Asked, output: str | os.PathLike, overwrite: bool = False
) -> tuple[Tuning, InteractionDataset]:
    """Makes the directory of a new search, and loads its dataset.

    Args:
        request: data, settings to begin with, and hardware, as for a training.
        asked: what is searched, and how.
        output: the directory.
        overwrite: whether a search that is there is thrown away first.

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
    if overwrite and (path / FILE).is_file():  # nothing else is ever thrown away
        shutil.rmtree(replaced, ignore_errors=True)
        path.rename(replaced)
    new_directory(path)
    write_json(path / FILE, content)
    shutil.rmtree(replaced, ignore_errors=True)  # its successor stands
    return Tuning(path, content), dataset


def resumed(
    request: Request, asked: Asked, output: str | os.PathLike | None
) -> tuple[Tuning, InteractionDataset]:
    """A search that is to be continued, with more trials if they are asked for.

    Raises:
        InputError: if there is none, its dataset cannot be had, or other data or another search is
            asked for.
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
                f"{path} was started with another {name} (see its {FILE}); resume it without "
                "asking for one, or start a new search."
            )
    check_trained_alike(path, content, request.hardware)


def read_tuning(path: Path) -> Tuning:
    """A search as it stands.

    Raises:
        InputError: if there is none, or its file is broken.
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
