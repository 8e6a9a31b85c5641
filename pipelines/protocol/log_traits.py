"""What a log is like, measured in its training events: what defaults can depend on.

`pipelines/description/traits_text.py` puts it into words.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pipelines.datasets.time_unit import time_unit
from pipelines.protocol.pair_counts import count_pairs
from pipelines.protocol.splits import Splits

# Items never return after a behaviour if fewer than 1 in 1,000 target events are on such an item:
# leaving them out costs next to nothing. If none of 300 events is, the rate is below 1 in 100 with
# 95 % confidence (the rule of three): the most that a wrong verdict on a small log costs.
RARE = 1_000
ENOUGH = 300
NO_TIMES, UNKNOWN_UNIT = "none", "unknown"

_STEPS = {"day": 86_400, "hour": 3_600, "minute": 60}  # seconds
_FINEST = "second"


@dataclasses.dataclass(frozen=True)
class Returning:
    """How often items come back as targets if the user's strongest behaviour on them is this one.

    Args:
        share: share of all target events that are on such an item; None without target events.
        asked: number of target events whose user had at least one such item.
        times_chance: how many times likelier than a random item of the catalogue such an item is to
            be the user's next target; None if no user had one.
    """

    share: float | None
    asked: int
    times_chance: float | None


@dataclasses.dataclass(frozen=True)
class Leading:
    """How far a behaviour leads to the target.

    Args:
        followed: share of its pairs of user and item that get the target after their first event of
            the behaviour; None without pairs.
        preceding: share of target events whose item had the behaviour before; None without target
            events. The shares of several behaviours may add up to more than 1.
    """

    followed: float | None
    preceding: float | None


@dataclasses.dataclass(frozen=True)
class LogTraits:
    """What a log is like, in training events alone.

    "Before" means earlier in the user's order. Among events of equal time, that order depends on
    the tie rule.

    Args:
        target: the behaviour to predict.
        new_items: share of target events on an item that the user had not touched; None without
            target events.
        returning: by the strongest behaviour before.
        never_returns: behaviours after which an item never comes back as a target, see
            `never_returning`.
        times: how fine the times are: `"none"` if all are equal, `"unknown"` if their unit is
            unknown, else `"day"`, `"hour"`, `"minute"` or `"second"`, the coarsest one of which all
            differences are multiples.
        ties: share of events at the same time as another event of the same user; None without
            events.
        users_per_item: median number of users of an item, over the whole catalogue.
        items_under_5_users: share of the catalogue with fewer than 5 users.
        items_under_20_users: share of the catalogue with fewer than 20 users.
        median_length: median number of events of a user, over users with events; 0 without events.
        long_length: 90 % of these users have at most that many, interpolated linearly.
        longest: the most events of a user.
        leading: how far each behaviour leads to the target, without the target itself.
    """

    target: str
    new_items: float | None
    returning: dict[str, Returning]
    never_returns: tuple[str, ...]
    times: str
    ties: float | None
    users_per_item: float
    items_under_5_users: float
    items_under_20_users: float
    median_length: float
    long_length: float
    longest: int
    leading: dict[str, Leading]


def log_traits(splits: Splits) -> LogTraits:
    """Measures what a log is like from its training events alone.

    Args:
        splits: the split dataset.
    """
    dataset = splits.dataset
    names, target = dataset.behaviors.names, dataset.behaviors.target
    counts = count_pairs(dataset, splits.train_ends)
    returning, leading = {}, {}
    for row, name in enumerate(names):
        returned, asked = int(counts.returned[row]), int(counts.asked[row])
        expected = counts.chances[row] / dataset.num_items
        returning[name] = Returning(
            _share(returned, counts.targets), asked, _share(returned, expected)
        )
        if name != target:
            followed = _share(counts.followed[row], counts.pairs[row])
            leading[name] = Leading(followed, _share(counts.preceded[row], counts.targets))
    lengths = splits.train_ends - splits.train_starts
    times = dataset.timestamps[splits.training_events()]
    ties = tie_sizes(times, lengths)
    lengths = lengths[lengths > 0]
    users = counts.users_by_item[1:]
    return LogTraits(
        target=target,
        new_items=_share(counts.targets - counts.returned.sum(), counts.targets),
        returning=returning,
        never_returns=tuple(names[behavior - 1] for behavior in _never_returning(counts)),
        times=_fineness(times),
        ties=_share(ties[ties > 1].sum(), len(times)),
        users_per_item=float(np.median(users)),
        items_under_5_users=float(np.mean(users < 5)),
        items_under_20_users=float(np.mean(users < 20)),
        median_length=float(np.median(lengths)) if len(lengths) else 0.0,
        long_length=float(np.quantile(lengths, 0.9)) if len(lengths) else 0.0,
        longest=int(lengths.max(initial=0)),
        leading=leading,
    )


def never_returning(splits: Splits) -> tuple[int, ...]:
    """Returns the ids of the behaviours after which an item never comes back as a target.

    The user's strongest behaviour on the item counts. Of the target events in training whose user
    had such an item, at least 300, fewer than 1 in 1,000 are on one. The same must hold for all
    stronger behaviours: where people only buy what is in their cart, an item that is viewed but not
    in the cart comes back through the cart.

    Args:
        splits: the split dataset.
    """
    return _never_returning(count_pairs(splits.dataset, splits.train_ends))


def _never_returning(counts):
    rare = (counts.asked >= ENOUGH) & (counts.returned * RARE < counts.asked)
    rare = np.logical_and.accumulate(rare[::-1])[::-1]
    return tuple((np.flatnonzero(rare) + 1).tolist())


def tie_sizes(times: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Returns how many events each user has at each of their times.

    Args:
        times: int64 [events], user after user, each in time order.
        lengths: int64 [users], the number of events of each user.

    Returns:
        int64 [groups], which add up to the number of events.
    """
    different = np.ones(len(times) + 1, bool)
    np.not_equal(times[1:], times[:-1], out=different[1:-1])
    different[np.cumsum(lengths)] = True
    return np.diff(np.flatnonzero(different))


def _fineness(times):
    """Returns the coarsest step of which all differences of the times are multiples."""
    if not len(times) or times.min() == times.max():
        return NO_TIMES
    unit, per_second = time_unit(times.min(), times.max())
    if unit is None:
        return UNKNOWN_UNIT
    since = times - times.min()
    exact = (name for name, step in _STEPS.items() if not np.any(since % (step * per_second)))
    return next(exact, _FINEST)


def _share(part, whole):
    return float(part / whole) if whole else None
