"""Reads what `hmar experiment` leaves in its directory."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from pipelines.runtime.errors import InputError
from pipelines.storage.artefacts import is_number, read_json
from pipelines.training.run_files import are_results, history_fault, settings_fault


@dataclasses.dataclass(frozen=True)
class Training:
    """A training of one variant with one seed.

    Args:
        seed: the seed.
        run: directory of the run; None if nothing was trained.
        epochs: number of epochs; None if nothing was trained, as for the next two.
        best_epoch: the epoch whose weights are kept.
        seconds: duration of the training.
        test: `test[protocol][metric]`.
        history: one entry per epoch, in order; empty if the run has been deleted.
    """

    seed: int
    run: Path | None
    epochs: int | None
    best_epoch: int | None
    seconds: float | None
    test: dict[str, dict[str, float]]
    history: list[dict]


@dataclasses.dataclass(frozen=True)
class Variant:
    """A variant of the experiment, with a training per seed.

    Args:
        name: its name.
        changes: settings that differ from the reference's.
        trainings: one per seed.
    """

    name: str
    changes: dict
    trainings: list[Training]

    @property
    def is_trained(self) -> bool:
        """Whether it is a model rather than a simple rule."""
        return any(training.epochs is not None for training in self.trainings)

    def values(self, protocol: str, metric: str) -> np.ndarray:
        """Returns a test metric of the seeds that have it: float [seeds]."""
        found = [t.test.get(protocol, {}).get(metric) for t in self.trainings]
        return np.array([value for value in found if value is not None], float)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Variants, and how far each is below the reference.

    Args:
        path: the directory.
        settings: content of `experiment.json`.
        variants: in order.
        reference: name of the variant that the others are compared with.
        differences: `differences[variant][protocol][metric]` with `difference`, `low`, `high`:
            reference minus variant.
    """

    path: Path
    settings: dict
    variants: list[Variant]
    reference: str
    differences: dict

    def variant(self, name: str) -> Variant:
        """Returns the variant with a name."""
        return next(variant for variant in self.variants if variant.name == name)

    @property
    def protocols(self) -> list[str]:
        """The protocols that any variant was tested under, in order of appearance."""
        trainings = [training for variant in self.variants for training in variant.trainings]
        return list(dict.fromkeys(name for training in trainings for name in training.test))


def read_experiment(path: Path) -> Experiment:
    """Reads the directory of an experiment.

    Raises:
        InputError: if it is not finished, or one of its files is not valid.
    """
    settings = _read(path / "experiment.json", settings_fault)
    if not (path / "results.json").is_file():
        raise InputError(f"{path} has no results.json yet; run the experiment to its end.")
    results = _read(path / "results.json", _results_fault)
    try:
        variants = [_variant(path, entry) for entry in results["variants"]]
        reference, differences = results["reference"], results.get("differences", {})
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path / 'results.json'} does not hold an experiment's results ({error} is missing or "
            "wrong); run the experiment again."
        ) from error
    if reference not in [variant.name for variant in variants]:
        raise InputError(
            f"{path / 'results.json'} names the reference {reference!r}, which is not one of "
            "its variants; run the experiment again."
        )
    return Experiment(path, settings, variants, reference, differences)


def _variant(path, entry):
    trainings = []
    for each in entry["seeds"]:
        run = path / each["run"] if each.get("run") else None
        trained = run is not None and run.is_dir()  # it may have been deleted
        trainings.append(
            Training(
                seed=each["seed"],
                run=run,
                epochs=each.get("epochs"),
                best_epoch=each.get("best_epoch"),
                seconds=each.get("seconds"),
                test=each["test"],
                history=_read(run / "history.json", history_fault) if trained else [],
            )
        )
    return Variant(entry["name"], entry.get("changes") or {}, trainings)


def _read(path, fault):
    try:
        return read_json(path, fault, "restore it")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); restore it.") from error


def _results_fault(content):
    """Returns what is wrong with the numbers in `results.json`; None if nothing is."""
    if not isinstance(content, dict):
        return "it is not an object"
    try:
        trainings = [each for entry in content["variants"] for each in entry["seeds"]]
        tested = all(are_results({"": each["test"]}) for each in trainings)
        counted = all(_is_counted(each) for each in trainings)
        compared = all(map(are_results, content.get("differences", {}).values()))
    except (KeyError, TypeError, AttributeError) as error:
        return f"{error} is missing or wrong"
    return None if tested and counted and compared else "a result is not a finite number"


def _is_counted(training):
    return all(
        training.get(name) is None or is_number(training[name])
        for name in ("seed", "epochs", "best_epoch", "seconds")
    )
