"""Who is evaluated on what, and what is left for training: leave-one-out on the target behaviour.

A user with at least three target events is evaluated: the last one is the test answer, the one
before it the validation answer, and only events strictly before the validation answer are trained
on. The history of an answer is everything before it. All events of other users are trained on.

If the source ships a held-out list, its items are the test answers of the listed users, with all
their events as history. Their last target event is the validation answer if they have two. Some
lists hold items whose events were all removed from the history, from anywhere in it, as IJCAI-15's
does (`held_out_anywhere`). The validation answer is then chosen the same way: it is one of the
user's target events, drawn at random but the same in every run. All events on its item are moved to
the end, and training ends before them. They are history for the test, in which they alone are out
of order.

With `holdout="last"`, the last two events are held out, whatever their behaviour, of users with at
least three.

By construction no answer is ever an input or a label of training, and the test answer is not in
any validation history.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from hmar_keras.settings import Settings, setting
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.runtime.errors import InputError

MIN_TARGET_EVENTS = 3  # one to train on, one to validate on, one to test on


@dataclasses.dataclass(frozen=True)
class SplitConfig(Settings):
    """How a dataset is split.

    Args:
        holdout: what is held out of each user for the test: the last event of the `"target"`
            behaviour, or the `"last"` event, whatever its behaviour. The one before it is held out
            for validation. If a dataset has an official held-out list, that is the test.
    """

    holdout: str = setting("target", choices=("target", "last"))


@dataclasses.dataclass(frozen=True)
class EvaluationSet:
    """Questions: what is this user's next item, given these events?

    Args:
        users: int64 [questions], the users' rows in the dataset.
        starts: int64 [questions]; the history is events `starts[i]:ends[i]` of the dataset.
        ends: int64 [questions].
        positives: int32 [questions], the item id that is the answer.
    """

    users: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    positives: np.ndarray

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows) -> EvaluationSet:
        """Returns the questions at `rows`, an index array, mask or slice."""
        return EvaluationSet(
            self.users[rows], self.starts[rows], self.ends[rows], self.positives[rows]
        )


@dataclasses.dataclass(frozen=True)
class Splits:
    """A dataset split into training events, validation questions and test questions.

    Args:
        dataset: the dataset; its events may be in another order than in the one passed to `split`.
        train_ends: int64 [users]; events `dataset.offsets[u]:train_ends[u]` of user `u` are
            trained on.
        validation: questions for early stopping, tuning and every other choice.
        test: questions for the final number alone.
    """

    dataset: InteractionDataset
    train_ends: np.ndarray
    validation: EvaluationSet
    test: EvaluationSet
    _kept: dict[str, Any] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def once(self, name: str, measure: Callable[[], Any]) -> Any:
        """Returns what `measure` returned when it was first called for this name.

        Args:
            name: of the result, which is kept as long as the splits.
            measure: returns the result, which depends on the splits alone.
        """
        if name not in self._kept:
            self._kept[name] = measure()
        return self._kept[name]

    def visible(self, input_behaviors: str) -> Splits:
        """Returns the splits as a model sees them, see `visible_events`."""
        if input_behaviors == "all":
            return self
        return self.once(f"visible {input_behaviors}", lambda: self._visible(input_behaviors))

    def _visible(self, input_behaviors):
        seen = visible_events(self.dataset, input_behaviors)
        return Splits(
            seen.dataset,
            seen.before[self.train_ends],
            seen.questions(self.validation),
            seen.questions(self.test),
        )

    @property
    def train_starts(self) -> np.ndarray:
        """int64 [users]: where each user's training events begin."""
        return self.dataset.offsets[:-1]

    def training_events(self) -> np.ndarray:
        """Marks the events that are trained on: bool [events]."""
        users = event_users(self.dataset)
        return np.arange(self.dataset.num_events) < self.train_ends[users]


def event_users(dataset: InteractionDataset) -> np.ndarray:
    """Returns the user row of every event: int64 [events]."""
    return np.repeat(np.arange(dataset.num_users), np.diff(dataset.offsets))


@dataclasses.dataclass(frozen=True)
class VisibleEvents:
    """The events of a dataset that a model sees.

    Args:
        dataset: a dataset of these events alone, with the same users and items.
        before: int64 [events + 1], how many of them come before each place of the full dataset.
    """

    dataset: InteractionDataset
    before: np.ndarray

    def questions(self, questions: EvaluationSet) -> EvaluationSet:
        """Returns the questions with the visible part of their histories, which may be empty."""
        return dataclasses.replace(
            questions, starts=self.before[questions.starts], ends=self.before[questions.ends]
        )


def visible_events(dataset: InteractionDataset, input_behaviors: str) -> VisibleEvents:
    """Selects the events of a dataset that a model sees.

    Args:
        dataset: the full dataset.
        input_behaviors: `"all"`, or `"target"` for events of the target behaviour alone.
    """
    if input_behaviors == "all":
        return VisibleEvents(dataset, np.arange(dataset.num_events + 1))
    seen = dataset.behavior_ids == dataset.behaviors.target_id
    before = np.concatenate([[0], np.cumsum(seen)])
    visible = dataclasses.replace(
        dataset,
        offsets=before[dataset.offsets],
        item_ids=dataset.item_ids[seen],
        behavior_ids=dataset.behavior_ids[seen],
        timestamps=dataset.timestamps[seen],
    )
    return VisibleEvents(visible, before)


def split(dataset: InteractionDataset, holdout: str = "target") -> Splits:
    """Splits a dataset into training events and questions.

    Args:
        dataset: the full dataset.
        holdout: `"target"` to hold out events of the target behaviour, or `"last"` for the last
            events whatever their behaviour.

    Raises:
        InputError: if no user can be evaluated, or no event is left to train on.
    """
    if dataset.has_official_test:
        splits = _split_official(dataset, holdout)
    else:
        splits = _split_last(dataset, holdout)
    if not len(splits.validation) or not len(splits.test):
        need = (
            "no user of the held-out list has two events"
            if dataset.has_official_test
            else f"no user has {MIN_TARGET_EVENTS} events"
        )
        behavior = "" if holdout == "last" else f" of the target behaviour {_target(dataset)}"
        advice = "use a longer log" + ("" if holdout == "last" else " or another target")
        raise InputError(f"{dataset.name} cannot be split: {need}{behavior}; {advice}.")
    return splits


def validation_fingerprint(splits: Splits) -> str:
    """Returns a SHA-256 of the validation questions and their dataset."""
    digest = hashlib.sha256(splits.dataset.fingerprint.encode())
    asked = splits.validation
    for values in (asked.users, asked.starts, asked.ends, asked.positives):
        digest.update(np.ascontiguousarray(values, "<i8"))
    return digest.hexdigest()


def _target(dataset):
    return repr(dataset.behaviors.target)


def _split_last(dataset, holdout):
    last, before_last, counts = _last_two(dataset, holdout)
    asked = counts >= MIN_TARGET_EVENTS
    test = _questions(dataset, asked, last)
    # A question needs at least one event of history.
    validated = asked & (before_last > dataset.offsets[:-1])
    validation = _questions(dataset, validated, before_last)
    return Splits(dataset, np.where(validated, before_last, dataset.offsets[1:]), validation, test)


def _split_official(dataset, holdout):
    starts, ends = dataset.offsets[:-1], dataset.offsets[1:]
    if holdout == "last":
        raise InputError(
            f"{dataset.name} ships its own held-out list, so nothing else can be held out; use "
            "holdout=target."
        )
    tested = (dataset.held_out_items > 0) & (ends > starts)
    last, _, counts = _last_two(dataset, holdout)
    validated = tested & (counts >= 2)
    if dataset.held_out_anywhere and validated.any():
        # The item's events become the user's last ones; training and validation end before them.
        answers = dataset.item_ids[_any_target(dataset)]
        dataset, last = _move_item_to_end(dataset, validated, answers)
    validated &= last > starts
    test = _questions(dataset, tested, ends, dataset.held_out_items)
    validation = _questions(dataset, validated, last)
    return Splits(dataset, np.where(validated, last, ends), validation, test)


def _any_target(dataset):
    """Draws one target event per user, the same in every run; any event for users without one.

    Returns:
        int64 [users], indices of events.
    """
    targets = np.flatnonzero(dataset.behavior_ids == dataset.behaviors.target_id)
    first = np.searchsorted(targets, dataset.offsets[:-1])
    counts = np.searchsorted(targets, dataset.offsets[1:]) - first
    drawn = np.random.default_rng(0).integers(0, np.maximum(counts, 1))
    return targets[np.minimum(first + drawn, len(targets) - 1)]


def _move_item_to_end(dataset, moved, items):
    """Moves all events on `items[u]` to the end of user `u`'s events, where `moved[u]` is True.

    Returns:
        the dataset, and int64 [users], each user's first moved event, or the end if there is none.
    """
    users = event_users(dataset)
    is_moved = moved[users] & (dataset.item_ids == items[users])
    order = np.lexsort((is_moved, users))  # stable
    dataset = dataclasses.replace(
        dataset,
        item_ids=dataset.item_ids[order],
        behavior_ids=dataset.behavior_ids[order],
        timestamps=dataset.timestamps[order],
    )
    counts = np.bincount(users[is_moved], minlength=dataset.num_users)
    return dataset, dataset.offsets[1:] - counts


def _last_two(dataset, holdout):
    """Finds each user's last two events that may be held out, and how many there are.

    Returns:
        three arrays, int64 [users]: indices of the last event and of the one before, 0 if missing,
        and counts of such events.
    """
    if holdout == "last":
        events = np.arange(dataset.num_events)
    else:
        events = np.flatnonzero(dataset.behavior_ids == dataset.behaviors.target_id)
    ends = np.searchsorted(events, dataset.offsets[1:])
    counts = ends - np.searchsorted(events, dataset.offsets[:-1])
    if not len(events):
        return counts, counts, counts
    last = np.where(counts >= 1, events[np.maximum(ends - 1, 0)], 0)
    before_last = np.where(counts >= 2, events[np.maximum(ends - 2, 0)], 0)
    return last, before_last, counts


def _questions(dataset, asked, ends, items=None):
    """Asks the users in `asked` for the item at event `ends[u]`, or for `items[u]` if given."""
    users = np.flatnonzero(asked)
    ends = ends[users]
    positives = dataset.item_ids[ends] if items is None else items[users]
    return EvaluationSet(users, dataset.offsets[:-1][users], ends, positives.astype(np.int32))
