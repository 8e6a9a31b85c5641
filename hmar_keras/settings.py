"""Settings as frozen dataclasses that check themselves: each says what it must be beside its value.

A model's settings are such a class of its own, and so are a training's.
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
# Settings by the names that they had in earlier versions.
RENAMED = {
    "events": "input_behaviors",
    "targets": "labels",
    "windows": "training_windows",
    "order": "training_order",
}
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
    """A field of a `Settings` class: its default, whose type its values have, and its bounds.

    Args:
        default: a bool, int, float or string.
        above: values are greater.
        at_least: values are this or greater.
        below: values are less.
        at_most: values are this or less.
        choices: words, one of which a value is.

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
    """Base of all settings: checks, copies, and plain dicts of them.

    A subclass is a frozen dataclass too. Fields with a `setting`, or with a plain bool, int, float
    or string as default, are checked by it; what concerns several fields is checked by `check`.

    Raises:
        TypeError: if there is no such setting, naming the closest.
        ValueError: if a setting is of the wrong kind or out of range, naming it and what would
            do.
    """

    def __new__(cls, *args: Any, **settings: Any):
        """Refuses unknown names; Python's own sentence names no other."""
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
        """Checks what concerns several settings; a subclass calls its parent's, too.

        Raises:
            ValueError: if they do not do together.
        """

    def _check_kind(self, field):
        kind, value = type(field.default), getattr(self, field.name)
        if kind is tuple and isinstance(value, list):  # as JSON has it
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
            if name not in _BOUNDS:  # of somebody else
                continue
            keeps, words = _BOUNDS[name]
            if not keeps(value, bound):
                said = ", ".join(bound) if isinstance(bound, tuple) else bound
                raise ValueError(f"{field.name} must be {words} {said}, got {value!r}.")

    @classmethod
    def means_the_same(cls, name: str, other: type[Settings]) -> bool:
        """Whether a setting of this name is of the same kind, with the same bounds, in both."""
        own, its = (kind.__dataclass_fields__.get(name) for kind in (cls, other))
        if own is None or its is None or own.metadata != its.metadata:
            return False
        return type(own.default) is type(its.default) and own.default_factory is its.default_factory

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of all settings."""
        return tuple(field.name for field in dataclasses.fields(cls))

    def replace(self: _Own, **changes: Any) -> _Own:
        """A copy with some settings changed.

        Raises:
            ValueError: if a setting is unknown or its value is out of range.
        """
        return type(self).from_dict({**self.to_dict(), **changes})

    def to_dict(self) -> dict[str, Any]:
        """All settings as plain numbers, strings, lists and dicts."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls: type[_Own], settings: Mapping[str, Any]) -> _Own:
        """The reverse of `to_dict`.

        Raises:
            ValueError: if a setting is unknown, missing or wrong.
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
    """Whether a value is a finite number, and no boolean."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max  # an integer may be more


def unknown_setting(name: str, known: Iterable[str]) -> str:
    """The sentence about a name that no setting has: with its new name, or the closest names."""
    known = list(known)
    if RENAMED.get(name) in known:
        return f"the setting {name!r} is now called {RENAMED[name]!r}; write that."
    close = difflib.get_close_matches(str(name), known)
    advice = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known)}."
    return f"unknown setting {name!r}; {advice}"
