"""What is in a dataset, in numbers.

`table.py` shows them in the terminal, `picture.py` draws them.
"""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np

from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.datasets.time_unit import time_unit
from pipelines.protocol.log_traits import LogTraits, log_traits, tie_sizes
from pipelines.protocol.pair_counts import count_pairs
from pipelines.protocol.splits import split
from pipelines.runtime.errors import InputError

QUANTILES = {
    **{"min": 0.0, "10%": 0.1, "25%": 0.25, "50%": 0.5},
    **{"75%": 0.75, "90%": 0.9, "99%": 0.99, "max": 1.0},
}
DISTINCT = "distinct time"  # `Timeline.bin` if each time that occurs has its own bin
RAW = "raw"  # `Timeline.bin` if bins are ranges of raw numbers

_WIDTHS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_MONDAY = 345_600  # the first Monday in Unix seconds
_MAX_BINS, _MAX_MONTHS, _MAX_RAW, _MAX_DISTINCT = 120, 240, 60, 400
_WIDEST_COUNTED = 1_000_000  # raw times within a span of this length are counted one by one
_GROUPS = {"alone": 1, "2": 2, "3-4": 3, "5-9": 5, "10+": 10}  # the smallest size of each group
_RANKS = 80
_FINE_FROM = 16  # from here on, a quarter of an octave holds several whole numbers


@dataclasses.dataclass(frozen=True)
class Distribution:
    """How whole numbers are distributed.

    Args:
        quantiles: by the names of `QUANTILES`, interpolated linearly.
        mean: their mean.
        edges: edges of the bins, which are half an octave wide, or a quarter if all numbers are 16
            or more. Bin `i` holds numbers from `edges[i]` to `edges[i + 1] - 1`; 0 has its own bin.
        counts: how many numbers each bin holds; one entry less than `edges`.
    """

    quantiles: dict[str, float]
    mean: float
    edges: list[int]
    counts: list[int]


@dataclasses.dataclass(frozen=True)
class Repeats:
    """How often the user had touched the item of a target event before.

    "Before" means an event of the same user on the same item, of any behaviour, that is earlier in
    the user's order. Among events of equal time, that order depends on the tie rule.

    Args:
        rate: share of target events on an item touched before; None without target events.
        preceded_by: the same for each behaviour alone. They may add up to more than `rate`,
            because several behaviours may have come before.
    """

    rate: float | None
    preceded_by: dict[str, float | None]


@dataclasses.dataclass(frozen=True)
class Ties:
    """Events whose order depends on the tie rule.

    Args:
        rate: share of events at the same time as another event of the same user.
        group_sizes: number of events by how many events the user has at their time, including the
            event itself.
    """

    rate: float
    group_sizes: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Timeline:
    """Events over time.

    Args:
        unit: `"s"` or `"ms"` if all times, read as Unix time, lie from 1990 to 2099; else None,
            because the source's unit is unknown.
        first: earliest time, in the source's own unit.
        last: latest time, in the source's own unit.
        first_date: `first` in UTC; None if the unit is unknown.
        last_date: `last` in UTC; None if the unit is unknown.
        bin: second, minute, hour, day, week, month or year; else `DISTINCT` or `RAW`.
        starts: start of every bin, in the source's own unit.
        events: number of events in every bin, by behaviour.
    """

    unit: str | None
    first: int
    last: int
    first_date: str | None
    last_date: str | None
    bin: str
    starts: list[int]
    events: dict[str, list[int]]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How many users can be evaluated.

    Args:
        validation: number of validation questions, one per user.
        test: number of test questions.
        official: number of users in the source's own held-out list, 0 if there is none.
        problem: why there are no questions; None if there are some.
    """

    validation: int
    test: int
    official: int
    problem: str | None


@dataclasses.dataclass(frozen=True)
class Description:
    """What is in a dataset. Items of an official held-out list only count in `evaluation`.

    Args:
        name: name of the dataset.
        target: the behaviour to predict.
        users: number of users.
        items: size of the catalogue.
        items_with_events: number of items with events.
        events: number of events.
        events_by_behavior: number of events per behaviour.
        events_per_user: history lengths.
        targets_per_user: target events per user.
        events_per_item: events per item, over the whole catalogue.
        top_items: share of events on the most popular 1 % and 10 % of the catalogue, rounded up
            to whole items.
        popularity: (rank, events) of items, most popular first, at ranks evenly spaced on a log
            axis.
        repeats: what came before target events.
        ties: events of equal time.
        timeline: events over time.
        evaluation: how many users can be evaluated.
        traits: what its training events are like; None if it cannot be split.
    """

    name: str
    target: str
    users: int
    items: int
    items_with_events: int
    events: int
    events_by_behavior: dict[str, int]
    events_per_user: Distribution
    targets_per_user: Distribution
    events_per_item: Distribution
    top_items: dict[str, float]
    popularity: list[list[int]]
    repeats: Repeats
    ties: Ties
    timeline: Timeline
    evaluation: Evaluation
    traits: LogTraits | None

    def to_dict(self) -> dict:
        """Returns the description as plain JSON."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


def describe(dataset: InteractionDataset) -> Description:
    """Describes a dataset, whether or not it can be split.

    Raises:
        InputError: if it has no events.
    """
    if not dataset.num_events:
        raise InputError(f"{dataset.name} has no events to describe; use a log with events.")
    targets = np.flatnonzero(dataset.behavior_ids == dataset.behaviors.target_id)
    popularity = np.bincount(dataset.item_ids, minlength=dataset.num_items + 1)[1:]
    popularity = np.sort(popularity)[::-1]
    splits, problem = _split(dataset)
    ranks = np.unique(np.geomspace(1, dataset.num_items, _RANKS).round().astype(int))
    return Description(
        name=dataset.name,
        target=dataset.behaviors.target,
        users=dataset.num_users,
        items=dataset.num_items,
        items_with_events=int(np.count_nonzero(popularity)),
        events=dataset.num_events,
        events_by_behavior=dataset.events_by_behavior(),
        events_per_user=_distribution(np.diff(dataset.offsets)),
        targets_per_user=_distribution(np.diff(np.searchsorted(targets, dataset.offsets))),
        events_per_item=_distribution(popularity),
        top_items={f"{percent}%": _top_share(popularity, percent) for percent in (1, 10)},
        popularity=np.stack([ranks, popularity[ranks - 1]], axis=1).tolist(),
        repeats=_repeats(dataset),
        ties=_ties(dataset),
        timeline=_timeline(dataset),
        evaluation=Evaluation(
            validation=len(splits.validation) if splits else 0,
            test=len(splits.test) if splits else 0,
            official=int(np.count_nonzero(dataset.held_out_items > 0)),
            problem=problem,
        ),
        traits=log_traits(splits) if splits else None,
    )


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun, e.g. `1 user`, `2,000 users`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def compact(number: float) -> str:
    """Formats a number in at most six characters up to a billion, e.g. `96`, `2,314`, `10.5k`."""
    if number < 1_000:
        return f"{number:.1f}".removesuffix(".0")
    if number < 10_000:
        return f"{number:,.0f}"
    thousands, suffix = number / 1e3, "k"
    if thousands >= 999.5:
        thousands, suffix = number / 1e6, "M"
    return f"{thousands:.3g}{suffix}" if thousands < 999.5 else f"{thousands:,.0f}{suffix}"


def _distribution(numbers):
    quantiles = np.quantile(numbers, list(QUANTILES.values())).tolist()
    steps = 4 if numbers.min() >= _FINE_FROM else 2  # per octave
    octaves = np.arange(steps * np.log2(max(numbers.max(), 1)) + 2 * steps) / steps
    edges = np.unique([0, *np.rint(2**octaves).astype(int)])
    # From the bin of the smallest number to that of the largest.
    low, high = np.searchsorted(edges, [numbers.min(), numbers.max()], side="right")
    edges = edges[low - 1 : high + 1]
    bins = np.searchsorted(edges, numbers, side="right") - 1
    return Distribution(
        quantiles=dict(zip(QUANTILES, quantiles, strict=True)),
        mean=float(numbers.mean()),
        edges=edges.tolist(),
        counts=np.bincount(bins, minlength=len(edges) - 1).tolist(),
    )


def _top_share(popularity, percent):
    top = -(-len(popularity) * percent // 100)  # rounded up
    return float(popularity[:top].sum() / popularity.sum())


def _repeats(dataset):
    counts = count_pairs(dataset)
    shares = [
        int(count) / counts.targets if counts.targets else None
        for count in (counts.returned.sum(), *counts.preceded)
    ]
    return Repeats(shares[0], dict(zip(dataset.behaviors.names, shares[1:], strict=True)))


def _ties(dataset):
    sizes = tie_sizes(dataset.timestamps, np.diff(dataset.offsets))
    groups = np.searchsorted(list(_GROUPS.values()), sizes, side="right") - 1
    events = np.bincount(groups, weights=sizes, minlength=len(_GROUPS)).astype(int)
    return Ties(
        rate=float(events[1:].sum() / dataset.num_events),
        group_sizes=dict(zip(_GROUPS, events.tolist(), strict=True)),
    )


def _timeline(dataset):
    times, names = dataset.timestamps, dataset.behaviors.names
    first, last = int(times.min()), int(times.max())
    unit, scale = time_unit(first, last)
    if unit:
        bin_, starts = _date_bins(first // scale, last // scale)
        starts = starts * scale
        dates = [f"{np.datetime64(time // scale, 's')}".replace("T", " ") for time in (first, last)]
    else:
        bin_, starts = _raw_bins(times, first, last)
        dates = [None, None]
    cells = np.searchsorted(starts, times, side="right") - 1
    cells *= len(names)
    cells += dataset.behavior_ids - 1
    counts = np.bincount(cells, minlength=len(starts) * len(names)).reshape(-1, len(names))
    events = dict(zip(names, counts.T.tolist(), strict=True))
    return Timeline(unit, first, last, *dates, bin_, starts.tolist(), events)


def _date_bins(first, last):
    """Returns the kind and starts, in Unix seconds, of the finest bins that are not too many."""
    for name, width in _WIDTHS.items():
        shift = _MONDAY if name == "week" else 0
        start = (first - shift) // width * width + shift
        if (last - start) // width < _MAX_BINS:
            return name, np.arange(start, last + 1, width)
    months, years = _calendar_starts(first, last, "M"), _calendar_starts(first, last, "Y")
    return ("month", months) if len(months) <= _MAX_MONTHS else ("year", years)


def _calendar_starts(first, last, code):
    start, end = np.array([first, last], "datetime64[s]").astype(f"datetime64[{code}]")
    return np.arange(start, end + 1).astype("datetime64[s]").astype(np.int64)


def _raw_bins(times, first, last):
    """Returns bins for an unknown unit: one for each time, or ranges if there are many times."""
    if last - first < _WIDEST_COUNTED:
        distinct = np.flatnonzero(np.bincount(times - first)) + first
        if len(distinct) <= _MAX_DISTINCT:
            return DISTINCT, distinct
    least = (last - first) / _MAX_RAW
    round_numbers = (digit * 10**zeros for zeros in itertools.count() for digit in (1, 2, 5))
    width = next(number for number in round_numbers if number > least)
    later = np.array(range(first // width * width + width, last + 1, width), np.int64)
    return RAW, np.concatenate([[first], later])


def _split(dataset):
    """Returns the splits and None, or None and why there are none."""
    try:
        return split(dataset), None
    except InputError as error:
        return None, str(error)
