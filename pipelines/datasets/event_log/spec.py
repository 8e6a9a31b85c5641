"""The specification of a log: its files, its columns, and which events to keep."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import re

from pipelines.runtime.errors import InputError

_LEVEL = re.compile(r"(?P<name>[^<>=,]+?)\s*(?:(?P<sign><=?)\s*(?P<bound>[-+.\deE]+))?")
MOST_BEHAVIORS = 32  # more are probably ids or free text, not behaviours
_ONLY_BEHAVIOR = "interaction"  # for logs with one unnamed kind of event


@dataclasses.dataclass(frozen=True)
class RatingLevel:
    """A behaviour that stands for the ratings between the previous level and a bound.

    Args:
        name: name of the behaviour.
        bound: the highest rating; None for the strongest level, which is unbounded.
        inclusive: whether the bound itself belongs to the level.
    """

    name: str
    bound: float | None
    inclusive: bool


@dataclasses.dataclass(frozen=True)
class LogSpec:
    """A log with one event per row.

    Args:
        files: paths, glob patterns or directories; in time order if there is no time column.
        user: column of the user.
        item: column of the item.
        behavior: column of the behaviour's name. Without it and `rating`, all events have the same
            behaviour.
        rating: column of numbers that `levels` turns into behaviours.
        levels: behaviours by rating, weak to strong: `"dislike<=2,neutral<4,like"`.
        time: column of numbers (in any unit) or dates; without it, events are in row order.
        behaviors: names from weak to strong. By default those in the log, from most to least
            frequent, with the target last.
        labels: pairs of a value in the column `behavior` and the name of the behaviour it stands
            for, weak to strong, instead of `behaviors`: `(("0", "view"), ("2", "buy"))`. Several
            values may stand for one behaviour.
        target: the behaviour to predict; required unless there is only one.
        columns: names of the columns of CSV files without a header line.
        events: JSON lines only: field that holds a list of events, each an object with the item,
            the behaviour and the time; the user is a field next to the list.
        min_item_count: items with fewer events are dropped.
        min_user_events: users with fewer events are dropped; both rules are applied in turn until
            every remaining user and item has enough.
        keep_duplicates: whether rows that repeat user, item, behaviour and time are kept.
        skip_bad_rows: whether rows that cannot be understood are skipped and counted instead of
            raising an error.
        repeats: whether an item may be the answer for a user who already knows it. By default it
            may if at least 1 % of the target events are on such items.

    Raises:
        InputError: if the arguments do not fit together.
    """

    files: tuple[str, ...]
    user: str
    item: str
    behavior: str | None = None
    rating: str | None = None
    levels: str | None = None
    time: str | None = None
    behaviors: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    target: str | None = None
    columns: tuple[str, ...] = ()
    events: str | None = None
    min_item_count: int = 1
    min_user_events: int = 1
    keep_duplicates: bool = False
    skip_bad_rows: bool = False
    repeats: bool | None = None

    def __post_init__(self):
        for name in ("files", "behaviors", "columns"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "labels", tuple(map(tuple, self.labels)))
        if not self.files or not all(self.files):
            raise InputError("a log needs at least one file, and no file name may be empty.")
        for role in ("user", "item", "behavior", "rating", "time", "target", "events"):
            if getattr(self, role) == "":
                raise InputError(f"the name of the {role} is empty; give one or leave it out.")
        self._check_roles()
        self._check_labels()
        self._check_behaviors()
        for name in ("min_item_count", "min_user_events"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}.")

    @property
    def named_columns(self) -> dict[str, str]:
        """Columns by role (user, item, behavior, rating, time), for the roles that are given."""
        roles = ("user", "item", "behavior", "rating", "time")
        return {role: getattr(self, role) for role in roles if getattr(self, role)}

    @property
    def rating_levels(self) -> tuple[RatingLevel, ...]:
        """The levels, weak to strong; empty without a rating column."""
        return parse_levels(self.levels) if self.levels else ()

    @property
    def known_behaviors(self) -> tuple[str, ...]:
        """The behaviours, weak to strong; empty if they depend on the rows."""
        if self.rating:
            return tuple(level.name for level in self.rating_levels)
        if self.labels:
            return tuple(dict.fromkeys(name for _, name in self.labels))
        if self.behavior:
            return self.behaviors
        return self.behaviors or (self.target or _ONLY_BEHAVIOR,)

    def with_absolute_files(self) -> LogSpec:
        """Returns the same log with file paths that do not depend on the working directory."""
        files = tuple(os.path.abspath(os.path.expanduser(file)) for file in self.files)
        return dataclasses.replace(self, files=files)

    def moved_to(self, directory: str | os.PathLike) -> LogSpec:
        """Returns the same log with its files, under the same names, in another directory."""
        files = tuple(os.path.join(directory, os.path.basename(file)) for file in self.files)
        return dataclasses.replace(self, files=files)

    def to_dict(self) -> dict:
        """Returns the specification as JSON-compatible values."""
        values = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }
        return {**values, "labels": [list(pair) for pair in self.labels]}

    @classmethod
    def from_dict(cls, values: dict) -> LogSpec:
        """Creates a specification from the result of `to_dict`."""
        return cls(**values)

    def _check_roles(self):
        used = [column for role, column in self.named_columns.items() if role != "user"]
        if not self.events:  # with `events` the user is outside the list
            used.append(self.user)
        twice = next((column for column in used if used.count(column) > 1), None)
        if twice:
            raise InputError(f"the column {twice!r} cannot have two roles; name each column once.")
        if self.columns:
            unknown = [column for column in used if column not in self.columns]
            if unknown:
                raise InputError(
                    f"the columns {', '.join(self.columns)} have no {unknown[0]!r}; name all "
                    f"columns of the file in order."
                )
            if len(set(self.columns)) != len(self.columns):
                raise InputError("the names of the columns must differ from each other.")

    def _check_labels(self):
        if not self.labels:
            return
        if self.rating or not self.behavior:
            raise InputError("labels need a behaviour column, whose values they name.")
        if self.behaviors:
            raise InputError("the labels already name the behaviours; do not name them again.")
        if not all(len(pair) == 2 and all(pair) for pair in self.labels):
            raise InputError("each label must be a value in the behaviour column and a name.")
        values = [value for value, _ in self.labels]
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice:
            raise InputError(f"the value {twice!r} cannot have two labels; give it one.")

    def _check_behaviors(self):
        if self.behavior and self.rating:
            raise InputError("the behaviour comes from a column or from ratings, not from both.")
        if bool(self.rating) != bool(self.levels):
            raise InputError(
                "a rating column and levels must be given together, for instance the levels "
                "'dislike<=2,neutral<4,like'."
            )
        if self.rating and self.behaviors:
            raise InputError("the levels already name the behaviours; do not name them again.")
        known = self.known_behaviors
        if len(known) > MOST_BEHAVIORS:
            raise InputError(f"a log has at most {MOST_BEHAVIORS} behaviours, got {len(known)}.")
        if len(set(known)) != len(known) or not all(name.strip() for name in known):
            raise InputError("the behaviours must have names that differ from each other.")
        if not self.behavior and not self.rating and len(known) > 1:
            raise InputError("several behaviours need a behaviour or rating column.")
        if self.target is None and (self.behavior or len(known) > 1):
            raise InputError(
                "the behaviour to predict must be named as the target"
                + (f", one of {', '.join(known)}." if known else ".")
            )
        if self.target is not None and known and self.target not in known:
            raise InputError(
                f"the target {self.target!r} is not one of the behaviours {', '.join(known)}."
            )


def parse_labels(text: str) -> tuple[tuple[str, str], ...]:
    """Parses `"0=view,2=buy"`.

    Raises:
        InputError: if the text does not have this form.
    """
    labels = []
    for part in text.split(","):
        value, _, name = (piece.strip() for piece in part.partition("="))
        if not value or not name or "=" in name:
            raise InputError(f"{part.strip()!r} in the labels is not of the form VALUE=NAME.")
        labels.append((value, name))
    return tuple(labels)


def parse_levels(text: str) -> tuple[RatingLevel, ...]:
    """Parses `"dislike<=2,neutral<4,like"`.

    Raises:
        InputError: if the text does not have this form, or the bounds do not increase.
    """
    levels = []
    for part in text.split(","):
        match = _LEVEL.fullmatch(part.strip())
        if match is None:
            raise InputError(f"{part.strip()!r} in the levels is not of the form NAME<=NUMBER.")
        try:
            bound = float(match["bound"]) if match["bound"] else None
            if bound is not None and not math.isfinite(bound):
                raise ValueError
        except ValueError:
            raise InputError(f"{match['bound']!r} in the levels is not a number.") from None
        levels.append(RatingLevel(match["name"].strip(), bound, match["sign"] == "<="))
    if levels[-1].bound is not None or any(level.bound is None for level in levels[:-1]):
        raise InputError(f"the levels {text!r} must all have a bound, except the last.")
    bounds = [(level.bound, level.inclusive) for level in levels[:-1]]
    if any(low >= high for low, high in itertools.pairwise(bounds)):
        raise InputError(f"the bounds of the levels {text!r} must increase.")
    return tuple(levels)
