"""Settings as frozen dataclasses that check themselves, with bounds declared next to defaults.

Each model has its own class of settings, and so does training.
"""

from __future__ import annotations

import dataclasses
import difflib
import operator
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

_KINDS = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a string"}
_BOUNDS = {
    "above": (operator.gt, "greater than"),
    "at_least": (operator.ge, "at least"),
    "below": (operator.lt, "less than"),
    "at_most": (operator.le, "at most"),
    "choices": (lambda value, choices: value in choices, "one of"),
}
# Settings by their names in earlier versions.
RENAMED = {
    "events": "input_behaviors",
    "targets": "labels",
    "windows": "training_windows",
    "order": "training_order",
}
# Settings of earlier versions that are gone, and the one to use instead.
RETIRED = {"num_neighbors": "memory", "neighbor_weight": "memory"}
_Value = TypeVar("_Value")
_Own = TypeVar("_Own", bound="Settings")


def setting(
    default: _Value,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    choices: Iterable[str] | None = None,
) -> _Value:
    """Declares a field of a `Settings` class by its bounds and its default, which sets the type.

    Args:
        default: a bool, int, float or string.
        above: values must be greater than this.
        at_least: values must be this or greater.
        below: values must be less than this.
        at_most: values must be this or less.
        choices: the words that are valid.

    Example:

    >>> @dataclasses.dataclass(frozen=True)
    ... class Mine(Settings):
    ...     rate: float = setting(0.1, at_least=0, below=1)
    >>> Mine(rate=2)
    Traceback (most recent call last):
        ...
    ValueError: rate must be less than 1, got 2.0.
    """
    bounds = {"above": above, "at_least": at_least, "below": below, "at_most": at_most}
    said: dict[str, Any] = {**bounds, "choices": choices and tuple(choices)}
    given = {name: bound for name, bound in said.items() if bound is not None}
    return dataclasses.field(default=default, metadata=given)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base class of all settings, which checks and copies them and converts them to plain dicts.

    A subclass is a frozen dataclass too. Fields with a `setting`, or with a plain bool, int, float
    or string as default, are checked against it; `check` is for what concerns several fields.

    Raises:
        TypeError: if a setting does not exist; the message names the closest ones.
        ValueError: if a setting has the wrong type or is out of range; the message names it and
            the valid values.
    """

    def __new__(cls, *args: Any, **settings: Any):
        """Refuses unknown names, with the closest ones, which Python's own message lacks."""
        for name in settings:
            if name not in cls.names():
                raise TypeError(unknown_setting(name, cls.names()))
        return super().__new__(cls)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            self._check_kind(field)
            self._check_bounds(field)
        self.check()

    def check(self) -> None:
        """Checks what concerns several settings; a subclass also calls the `check` of its parent.

        Raises:
            ValueError: if the settings are not valid together.
        """

    def _check_kind(self, field):
        kind, value = type(field.default), getattr(self, field.name)
        if kind is tuple and isinstance(value, list):  # JSON has no tuples
            object.__setattr__(self, field.name, tuple(value))
        if kind not in _KINDS:
            return
        whole = isinstance(value, int) and not isinstance(value, bool)
        fits = {float: is_number(value), int: whole}
        if not fits.get(kind, type(value) is kind):
            raise ValueError(f"{field.name} must be {_KINDS[kind]}, got {value!r}.")
        if kind is float:
            object.__setattr__(self, field.name, float(value))

    def _check_bounds(self, field):
        value = getattr(self, field.name)
        for name, bound in field.metadata.items():
            if name not in _BOUNDS:  # metadata of other code
                continue
            keeps, words = _BOUNDS[name]
            if not keeps(value, bound):
                said = ", ".join(bound) if isinstance(bound, tuple) else bound
                raise ValueError(f"{field.name} must be {words} {said}, got {value!r}.")

    @classmethod
    def means_the_same(cls, name: str, other: type[Settings]) -> bool:
        """Returns whether a setting has the same type and bounds in both classes."""
        own, its = (kind.__dataclass_fields__.get(name) for kind in (cls, other))
        if own is None or its is None or own.metadata != its.metadata:
            return False
        return type(own.default) is type(its.default) and own.default_factory is its.default_factory

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Returns the names of all settings."""
        return tuple(field.name for field in dataclasses.fields(cls))

    def replace(self: _Own, **changes: Any) -> _Own:
        """Returns a copy with some settings changed.

        Raises:
            ValueError: if a setting is unknown or its value is out of range.
        """
        return type(self).from_dict({**self.to_dict(), **changes})

    def to_dict(self) -> dict[str, Any]:
        """Returns all settings as plain numbers, strings, lists and dicts."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls: type[_Own], settings: Mapping[str, Any]) -> _Own:
        """Creates settings from `to_dict()`.

        Raises:
            ValueError: if a setting is unknown, missing or not valid.
        """
        for name in settings:
            if name not in cls.names():
                raise ValueError(unknown_setting(name, cls.names()))
        for field in dataclasses.fields(cls):
            needed = (field.default, field.default_factory) == (dataclasses.MISSING,) * 2
            if needed and field.name not in settings:
                raise ValueError(f"the setting {field.name!r} is missing.")
        return cls(**settings)


def is_number(value: Any) -> bool:
    """Returns whether a value is a finite number and not a boolean."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max  # an integer may be larger


def unknown_setting(name: str, known: Iterable[str]) -> str:
    """Returns the message about an unknown setting, with what replaces it or the closest names."""
    known = list(known)
    if RENAMED.get(name) in known:
        return f"the setting {name!r} is now called {RENAMED[name]!r}; use the new name."
    if RETIRED.get(name) in known:
        return f"the setting {name!r} no longer exists; use {RETIRED[name]!r} instead."
    close = difflib.get_close_matches(str(name), known)
    advice = f"did you mean {' or '.join(close)}?" if close else f"choose from {', '.join(known)}."
    return f"unknown setting {name!r}; {advice}"
