"""The settings that a search may change, and their ranges: defaults, or the user's file."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import keras_tuner

from hmar_keras.models import MODELS
from hmar_keras.schema import BEHAVIOR_IDS
from pipelines.runtime.errors import InputError
from pipelines.training.run_config import OF_LOG, RunConfig
from pipelines.workflow.settings import read_object

ALPHA = "alpha"


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers between two bounds, both included.

    Args:
        low: lower bound.
        high: upper bound.
        step: spacing of the numbers to try; None for any number, and 1 for integer settings.
        log: whether to draw on a logarithmic scale, where each doubling is equally likely.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False

    def including(self, value: float) -> Range:
        """Returns the range widened to a value, unless it is logarithmic and the value <= 0."""
        if self.log and value <= 0:
            return self
        return dataclasses.replace(self, low=min(self.low, value), high=max(self.high, value))

    def ends(self) -> tuple[float, ...]:
        """Returns the values to check: if they are valid, so is the whole range."""
        return self.low, self.high

    def place(self, value: float) -> float:
        """Returns the position of a number between the bounds, 0 to 1."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> dict[float, float]:
        """Returns numbers to label an axis with, by their positions."""
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        if all(isinstance(end, int) for end in self.ends()):
            middle = round(middle)
        return {self.place(number): number for number in (self.low, middle, self.high)}

    def declare(self, hp: keras_tuner.HyperParameters, name: str, start: float) -> None:
        """Declares a hyper-parameter whose default is the number nearest to `start`."""
        start = min(max(start, self.low), self.high)
        whole = all(isinstance(end, int) for end in (*self.ends(), start))
        kind = hp.Int if whole else hp.Float
        kind(
            name,
            self.low,
            self.high,
            step=self.step,
            sampling="log" if self.log else "linear",
            default=start,
        )


@dataclasses.dataclass(frozen=True)
class Choices:
    """A set of values to choose from; numbers are ordered.

    Args:
        choices: the values.
    """

    choices: tuple

    def including(self, value) -> Choices:
        """Returns the choices with one more value, if it is not among them."""
        return self if value in self.choices else Choices(tuple(sorted({*self.choices, value})))

    def ends(self) -> tuple:
        """Returns the values to check: all of them."""
        return self.choices

    def place(self, value) -> float:
        """Returns the position of a value among the choices, 0 to 1, at equal distances."""
        return self.choices.index(value) / max(1, len(self.choices) - 1)

    def ticks(self) -> dict:
        """Returns values to label an axis with, by their positions."""
        return {self.place(value): value for value in self.choices}

    def declare(self, hp: keras_tuner.HyperParameters, name: str, start) -> None:
        """Declares a hyper-parameter whose default is `start`, or else the first value."""
        default = start if start in self.choices else self.choices[0]
        hp.Choice(name, list(self.choices), default=default)


# The default ranges. `alpha` is one setting per behaviour.
RANGES = {
    ALPHA: Range(0.02, 1.0, log=True),
    "beta": Range(0.1, 4.0, log=True),
    "theta": Range(0.01, 1.0, log=True),
    "learning_rate": Range(1e-4, 5e-3, log=True),
    "dropout": Range(0.0, 0.6),
    "dim": Choices((32, 48, 64, 96, 128)),
    "num_heads": Choices((1, 2, 4)),
    "num_behavior_blocks": Choices((0, 1, 2)),
    "num_sequence_blocks": Choices((1, 2, 3)),
    "num_negatives": Choices((1, 4, 16, 64, 256)),
    "max_length": Choices((25, 50, 100, 150, 200)),
    "batch_size": Choices((32, 64, 128, 256)),
}
# These decide the questions, the length of a trial or its subject: trials that differ in them could
# not be compared.
_FIXED = (*OF_LOG, "model", "holdout", "epochs", "patience")


class SearchSpace:
    """The settings that a search changes.

    Args:
        base: where the search begins; settings that the space does not name stay as they are here.
        entries: by setting, a `Range` or `Choices`; `alpha` stands for every behaviour's weight,
            `alpha.NAME` for one. None for all of `RANGES` that the model reads, widened where
            `base` lies outside.

    Raises:
        InputError: if a setting cannot be searched or a value is not valid, naming it.

    Example:

    >>> from hmar_keras.schema import Behaviors
    >>> base = RunConfig.of(100, Behaviors(("view", "buy"), target="buy"))
    >>> space = SearchSpace(base, {"alpha": Range(0.1, 1.0), "theta": Range(0.0, 0.5)})
    >>> sorted(space.entries)
    ['alpha.buy', 'alpha.view', 'theta']
    >>> space.config({"theta": 0.3, "alpha.view": 0.2}).model.alpha
    {'view': 0.2, 'buy': 0.7}
    """

    def __init__(self, base: RunConfig, entries: Mapping[str, Range | Choices] | None = None):
        self.base = base
        self._start = base.to_dict()
        self.entries = _usual(base) if entries is None else _by_behavior(entries, base)
        self._check()

    @classmethod
    def of(
        cls, base: RunConfig, file: str | Path | None = None, over: Iterable[str] | None = None
    ) -> SearchSpace:
        """Builds the space that a file and some names describe.

        Args:
            base: where the search begins.
            file: a JSON object; by setting `{"low": 0.1, "high": 1, "step": 0.1, "log": true}`, of
                which step and log are optional; `{"choices": [1, 2]}`; or `true` for the default.
            over: the settings to search, out of those in the file or in `RANGES`; None for all.

        Raises:
            InputError: if the file cannot be read, a setting cannot be searched, or a value is
                not valid for it.
        """
        entries = _usual(base)
        if file is not None:
            entries = _of_file(read_object(file, "the search space", "--space"), entries)
            entries = _by_behavior(entries, base)
        if over is not None:
            entries = {name: entry for each in over for name, entry in _named(each, entries)}
        return cls(base, entries)

    def declare(self, hp: keras_tuner.HyperParameters) -> None:
        """Declares a hyper-parameter per entry; the defaults are where the search begins."""
        for name, entry in self.entries.items():
            entry.declare(hp, name, _value(name, self._start))

    def values(self, values: Mapping) -> dict:
        """Returns those that belong to entries, in the types of the settings.

        Args:
            values: by name. KerasTuner's oracles return NumPy numbers, which neither JSON nor
                Keras's `loss_weights` accept, and 0 and 1 for booleans.
        """
        names = [name for name in self.entries if name in values]
        return {name: type(_value(name, self._start))(values[name]) for name in names}

    def config(self, values: Mapping) -> RunConfig:
        """Returns the settings with some values of the hyper-parameters.

        Args:
            values: by name; KerasTuner's are NumPy numbers.

        Raises:
            ValueError: if the values are not valid together.
        """
        changes = {}
        for name, value in self.values(values).items():
            if name.startswith(f"{ALPHA}."):
                alpha = changes.setdefault(ALPHA, dict(self._start[ALPHA]))
                alpha[name.removeprefix(f"{ALPHA}.")] = value
            else:
                changes[name] = value
        return self.base.replace(**changes)

    def to_dict(self) -> dict:
        """Returns the entries in the form of the file."""
        return {
            name: {"choices": list(entry.choices)}
            if isinstance(entry, Choices)
            else dataclasses.asdict(entry)
            for name, entry in self.entries.items()
        }

    def _all_of(self, name):
        entry = self.entries.get(name)
        return (self._start[name],) if entry is None else entry.ends()

    def _check(self):
        if not self.entries:
            raise InputError("the search space is empty; name a setting to search.")
        for name, entry in self.entries.items():
            _value(name, self._start)
            for value in entry.ends():
                self._check_value(name, value)
        if not {"dim", "num_heads"} <= set(self._start):
            return
        for dim in self._all_of("dim"):
            for heads in self._all_of("num_heads"):
                if dim % heads:
                    raise InputError(
                        f"the search space has num_heads {heads}, which does not divide "
                        f"dim {dim}; leave one of them out."
                    )

    def _check_value(self, name, value):
        # `_check` checks that heads and widths fit each other.
        apart = {"dim": {"num_heads": 1}, "num_heads": {"dim": value}}.get(name, {})
        apart = {each: apart[each] for each in apart if each in self._start}
        behavior = name.removeprefix(f"{ALPHA}.")
        change = {name: value}
        if behavior != name:
            change = {ALPHA: {**self._start[ALPHA], behavior: value}}
        try:
            self.base.replace(**apart, **change)
        except (TypeError, ValueError) as error:
            raise InputError(f"the search space of {name} is not valid: {error}") from error


def _value(name, settings):
    """Returns the value of a setting where the search begins."""
    behavior = name.removeprefix(f"{ALPHA}.")
    if behavior != name and isinstance(settings.get(ALPHA), Mapping):
        if behavior not in settings[ALPHA]:
            raise InputError(
                f"the search space names {name}, but the behaviours are "
                f"{', '.join(settings[ALPHA])}."
            )
        return settings[ALPHA][behavior]
    free = [each for each in settings if each not in _FIXED]
    if name not in free:
        raise InputError(f"{name} cannot be searched; choose from {', '.join(free)}.")
    if not isinstance(settings[name], bool | int | float | str):
        raise InputError(f"{name} cannot be searched: it is neither a number nor a word.")
    return settings[name]


def _usual(base):
    """Returns those of `RANGES` that the model reads, widened to include the base's values."""
    settings = base.to_dict()
    unread = [name for name in RANGES if name not in settings]
    weighs = isinstance(settings.get(ALPHA), Mapping)
    if BEHAVIOR_IDS not in MODELS[base.name].features or not weighs:
        unread.append(ALPHA)  # it cannot distinguish behaviours
    if settings.get("loss") == "sampled_softmax":
        unread.append("beta")
    entries = {name: entry for name, entry in RANGES.items() if name not in unread}
    entries = {
        name: entry.including(_value(name, settings))
        for name, entry in _by_behavior(entries, base).items()
    }
    if {"dim", "num_heads"} <= set(entries):
        _fit_heads(entries, settings["num_heads"])
    return entries


def _fit_heads(entries, number):
    """Restricts heads and widths so that every number of heads divides every width."""
    dims = entries["dim"].choices
    heads = [h for h in entries["num_heads"].choices if all(dim % h == 0 for dim in dims)]
    if number not in heads:
        heads = [number]
        entries["dim"] = Choices(tuple(dim for dim in dims if dim % number == 0))
    entries["num_heads"] = Choices(tuple(heads))


def _by_behavior(entries, base):
    """Expands `alpha` to every behaviour that has no entry of its own."""
    every = [f"{ALPHA}.{behavior}" for behavior in base.model.behaviors.names]
    return {
        name: entry
        for each, entry in entries.items()
        for name in ([n for n in every if n not in entries] if each == ALPHA else [each])
    }


def _named(name, entries):
    """Returns the entries of a name; `alpha` has one per behaviour."""
    found = [
        (each, entry)
        for each, entry in entries.items()
        if each == name or (name == ALPHA and each.startswith(f"{ALPHA}."))
    ]
    if not found:
        raise InputError(
            f"there is no range of {name}; give it one in a --space file, or choose from "
            f"{', '.join(entries)}."
        )
    return found


def _of_file(given, usual):
    entries = {}
    for name, each in given.items():
        entries |= dict(_named(name, usual)) if each is True else {name: _entry(name, each)}
    return entries


def _entry(name, given):
    """Parses an entry of a file."""
    keys = set(given) if isinstance(given, dict) else set()
    if keys == {"choices"} and isinstance(given["choices"], list) and given["choices"]:
        return _choices(name, given["choices"])
    if not {"low", "high"} <= keys <= {"low", "high", "step", "log"}:
        raise InputError(
            f"the search space of {name} must be true, have low and high (step and log are "
            f"optional), or have choices; got {json.dumps(given)}."
        )
    entry = Range(**given)
    numbers = [entry.low, entry.high, *([] if entry.step is None else [entry.step])]
    if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in numbers):
        raise InputError(f"low, high and step of {name} must be numbers.")
    if entry.low >= entry.high or (entry.step is not None and entry.step <= 0):
        raise InputError(f"the search space of {name} needs low < high and a step above 0.")
    if entry.log and (entry.low <= 0 or entry.step is not None):
        raise InputError(f"a logarithmic range of {name} must begin above 0 and have no step.")
    return entry


def _choices(name, given):
    """Returns choices of one type, as KerasTuner requires."""
    types = {type(choice) for choice in given}
    if types == {int, float}:
        given, types = map(float, given), {float}
    if len(types) > 1 or not types <= {bool, int, float, str}:
        raise InputError(
            f"the choices of {name} must all be numbers, all be strings or all be true or false."
        )
    return Choices(tuple(given))
