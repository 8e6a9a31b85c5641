"""Who is evaluated on what, and what is left for training: leave-one-out on the target behaviour.

A user with at least three target events is evaluated: the last one is the test answer, the one
before it the validation answer, and only what happened strictly before the validation answer is
trained on. The history given with an answer is everything before it. Other users are trained on
with all they have.

Where the source ships a held-out list, the listed users' test answers are those, with all their
events as history, and their last target event is the validation answer if they have two.

By construction no answer is ever an input or a target of training, and the test answer is not in
any validation history.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.errors import InputError

MIN_TARGET_EVENTS = 3  # one to train on, one to validate on, one to test on


@dataclasses.dataclass(frozen=True)
class EvaluationSet:
    """Questions: what is the next target item of this user, given these events?

    Args:
        users: int64 [questions], rows of the dataset's users.
        starts: int64 [questions], the history is events `starts[i]:ends[i]` of the dataset.
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
        """The questions at `rows`, an index array, mask or slice."""
        return EvaluationSet(
            self.users[rows], self.starts[rows], self.ends[rows], self.positives[rows]
        )


@dataclasses.dataclass(frozen=True)
class Splits:
    """A dataset cut into training events, validation questions and test questions.

    Args:
        dataset: what was cut.
        train_ends: int64 [users]; user `u` trains on events `dataset.offsets[u]:train_ends[u]`.
        validation: for early stopping, tuning and every other choice.
        test: for the final number alone.
    """

    dataset: InteractionDataset
    train_ends: np.ndarray
    validation: EvaluationSet
    test: EvaluationSet

    @property
    def train_starts(self) -> np.ndarray:
        """int64 [users]: where each user's training events begin."""
        return self.dataset.offsets[:-1]

    def training_events(self) -> np.ndarray:
        """bool [events]: True for the events that are trained on."""
        users = event_users(self.dataset)
        return np.arange(self.dataset.num_events) < self.train_ends[users]


def event_users(dataset: InteractionDataset) -> np.ndarray:
    """int64 [events]: the user row of every event."""
    return np.repeat(np.arange(dataset.num_users), np.diff(dataset.offsets))


def split(dataset: InteractionDataset) -> Splits:
    """Cuts a dataset.

    Raises:
        InputError: if no user can be evaluated, or no event is left to train on.
    """
    last, before_last, counts = _last_two_targets(dataset)
    starts, ends = dataset.offsets[:-1], dataset.offsets[1:]
    users = np.arange(dataset.num_users)
    if dataset.has_official_test:
        tested = (dataset.held_out_items > 0) & (ends > starts)
        validated = tested & (counts >= 2)
        validation_event = last
        test = _questions(tested, users, starts, ends, dataset.held_out_items)
    else:
        tested = validated = counts >= MIN_TARGET_EVENTS
        validation_event = before_last
        test = _questions(tested, users, starts, last, dataset.item_ids[last])
    # A question without any history cannot be asked.
    validated = validated & (validation_event > starts)
    validation = _questions(
        validated, users, starts, validation_event, dataset.item_ids[validation_event]
    )
    train_ends = np.where(validated, validation_event, ends)
    if not len(validation) or not len(test):
        need = (
            "no user of the held-out list has two events"
            if dataset.has_official_test
            else f"no user has {MIN_TARGET_EVENTS} events"
        )
        raise InputError(
            f"{dataset.name} cannot be split: {need} of the target behaviour "
            f"{dataset.behaviors.target!r}; use a longer log or another target."
        )
    return Splits(dataset, train_ends, validation, test)


def _last_two_targets(dataset):
    """Event index of each user's last target event and the one before, and how many there are.

    Where there is none the index is 0; the count tells.
    """
    events = np.flatnonzero(dataset.behavior_ids == dataset.behaviors.target_id)
    ends = np.searchsorted(events, dataset.offsets[1:])
    counts = ends - np.searchsorted(events, dataset.offsets[:-1])
    if not len(events):
        return counts, counts, counts
    last = np.where(counts >= 1, events[np.maximum(ends - 1, 0)], 0)
    before_last = np.where(counts >= 2, events[np.maximum(ends - 2, 0)], 0)
    return last, before_last, counts


def _questions(asked, users, starts, ends, positives):
    return EvaluationSet(
        users[asked], starts[asked], ends[asked], positives[asked].astype(np.int32)
    )
