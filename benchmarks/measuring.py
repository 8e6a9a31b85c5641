"""Measurements and what they are compared with: one row of the table per number."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterable

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Limit:
    """A bound that a row must meet.

    Args:
        of: `"median"` or `"ratio"`.
        most: upper bound of the median or ratio; None for no bound.
        least: lower bound; None for no bound.
    """

    of: str
    most: float | None = None
    least: float | None = None

    def is_met(self, row: Row) -> bool:
        """Tells whether the row meets the limit."""
        value = getattr(row, self.of)
        return (self.most is None or value <= self.most) and (
            self.least is None or value >= self.least
        )


@dataclasses.dataclass(frozen=True)
class Row:
    """A number that is measured several times, or counted once.

    Args:
        name: what it is.
        unit: e.g. `"ms"`.
        samples: the repeats.
        reference: the row of the same run that it is compared with.
        limit: the bound that it must meet, if there is one.
    """

    name: str
    unit: str
    samples: list[float]
    reference: Row | None = None
    limit: Limit | None = None

    @property
    def median(self) -> float:
        """The median of the samples."""
        return statistics.median(self.samples)

    @property
    def ratio(self) -> float | None:
        """The median as a multiple of the reference's."""
        return None if self.reference is None else self.median / self.reference.median

    def to_dict(self) -> dict:
        """Returns the row for JSON, with median and spread, and the reference by name."""
        return {
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "low": min(self.samples),
            "high": max(self.samples),
            "samples": self.samples,
            "reference": self.reference and self.reference.name,
            "ratio": self.ratio,
            "limit": self.limit and dataclasses.asdict(self.limit),
            "met": self.limit and self.limit.is_met(self),
        }


def interleaved(repeats: int, jobs: dict[str, tuple[Callable, Iterable]]) -> dict[str, list]:
    """Measures milliseconds per call of every job, repeat by repeat.

    The jobs take turns, so that a change in the machine's speed affects all of them.

    Args:
        repeats: samples of each.
        jobs: by name, a function and the tuples of arguments that it is called with. All calls are
            made once beforehand, so that nothing is traced or allocated for the first time.
    """
    samples = {name: [] for name in jobs}
    for repeat in range(repeats + 1):
        for name, (function, calls) in jobs.items():
            milliseconds = time_calls(function, calls)
            if repeat:
                samples[name].append(milliseconds)
    return samples


def time_calls(function: Callable, calls: Iterable) -> float:
    """Measures milliseconds per call, over all of `calls`."""
    calls = list(calls)
    start = time.perf_counter()
    for arguments in calls:
        function(*arguments)
    tf.test.experimental.sync_devices()
    return (time.perf_counter() - start) * 1e3 / len(calls)


def peak_memory() -> float:
    """Returns the peak memory of this process in GiB, on Linux."""
    # getrusage's peak starts from what the parent process held when it forked.
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 2**20 for line in file if line.startswith("VmHWM"))
