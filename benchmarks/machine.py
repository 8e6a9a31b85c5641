"""The machine's peak rates, from which floors are computed."""

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
        flops: floating-point operations per second of a large float32 matrix product.
        bandwidth: bytes read and written per second while all cores copy.
    """

    flops: float
    bandwidth: float

    def floor(self, flops: float, moved: float) -> float:
        """Returns the least time in milliseconds, if computing and moving overlap fully."""
        return 1e3 * max(flops / self.flops, moved / self.bandwidth)


def machine_rows(width: int, mebibytes: int, repeats: int) -> list[Row]:
    """Measures both rates as rows, in GFLOP/s and GB/s.

    Args:
        width: width of the square matrices.
        mebibytes: MiB to copy.
        repeats: samples of each.
    """
    return [
        Row(f"matrix product {width}^3", "GFLOP/s", _product_rates(width, repeats)),
        Row(f"copy of {mebibytes} MiB", "GB/s", _copy_rates(mebibytes << 20, repeats)),
    ]


def machine_of(rows: list[Row]) -> Machine:
    """Returns the rates from `machine_rows`."""
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
    return rates[1:]  # the first one also allocates the memory
