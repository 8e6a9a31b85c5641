"""What the machine can do at best: the rates that floors are computed with."""

from __future__ import annotations

import dataclasses
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf
from measuring import Row, interleaved


@dataclasses.dataclass(frozen=True)
class Machine:
    """Measured rates.

    Args:
        flops: of a large float32 matrix product, a second.
        bandwidth: bytes read and written a second by all cores copying.
    """

    flops: float
    bandwidth: float

    def floor(self, flops: float, moved: float) -> float:
        """Milliseconds that it takes at least, if computing and moving overlap wholly."""
        return 1e3 * max(flops / self.flops, moved / self.bandwidth)


def machine_rows(width: int, mebibytes: int, repeats: int) -> list[Row]:
    """Both rates as rows: GFLOP/s and GB/s.

    Args:
        width: of the square matrices.
        mebibytes: that are copied.
        repeats: samples of each.
    """
    return [
        Row(f"matrix product {width}^3", "GFLOP/s", _product_rates(width, repeats)),
        Row(f"copy of {mebibytes} MiB", "GB/s", _copy_rates(mebibytes << 20, repeats)),
    ]


def machine_of(rows: list[Row]) -> Machine:
    """The rates of `machine_rows`."""
    product, copy = rows
    return Machine(product.median * 1e9, copy.median * 1e9)


def _product_rates(width, repeats):
    matrix = tf.random.stateless_uniform((width, width), (0, 0))
    product = tf.function(lambda: tf.matmul(matrix, matrix))
    times = interleaved(repeats, {"product": (product, [()])})["product"]
    return [2 * width**3 / milliseconds / 1e6 for milliseconds in times]


def _copy_rates(size, repeats):
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    cores = len(os.sched_getaffinity(0))
    parts = list(zip(np.array_split(target, cores), np.array_split(source, cores), strict=True))
    rates = []
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(repeats + 1):
            start = time.perf_counter()
            list(pool.map(lambda part: np.copyto(*part), parts))
            # Every byte is read once and written once.
            rates.append(2 * size / (time.perf_counter() - start) / 1e9)
    return rates[1:]  # the first one also asks the system for the memory
