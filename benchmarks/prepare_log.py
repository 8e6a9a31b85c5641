"""Time and memory to prepare a log of the synthetic shop, and to load it again.

    python benchmarks/prepare_log.py                        # 19.6 million events, Parquet
    python benchmarks/prepare_log.py --form csv --users 20000

Writing the log is not timed. Preparing and loading run in a separate process each, in which the
import of TensorFlow is timed on its own; peak memory is the operating system's figure for that
process.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from pipelines.datasets.synthetic_shop.simulator import BEHAVIORS, ShopConfig, simulate_chunks

LOAD = """
import json, resource, sys, time
from pipelines.datasets import load_log
from pipelines.datasets.event_log import LogSpec
start = time.perf_counter()
import pipelines.datasets.prepared_records
imported = time.perf_counter() - start
start = time.perf_counter()
spec = LogSpec((sys.argv[1],), "user", "item", behavior="event", time="time", target="buy")
dataset = load_log(spec, sys.argv[2])
print(json.dumps({
    "events": dataset.num_events,
    "import_s": imported,
    "load_s": time.perf_counter() - start,
    "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
}))
"""


def write(path: Path, users: int, items: int) -> None:
    """Writes the log in pieces, each in time order."""
    config = ShopConfig(num_users=users, num_items=items, num_categories=max(2, items // 100))
    writer = None
    for log in simulate_chunks(config, blocks_per_chunk=4):
        names = pa.DictionaryArray.from_arrays(log.behavior_ids - 1, list(BEHAVIORS))
        table = pa.table(
            {
                "user": log.users,
                "item": log.items,
                "event": names.cast(pa.string()),
                "time": log.timestamps,
            }
        ).sort_by("time")
        if writer is None:
            make = pa.csv.CSVWriter if path.suffix == ".csv" else pa.parquet.ParquetWriter
            writer = make(path, table.schema)
        writer.write_table(table)
    writer.close()


def load(path: Path, cache: Path) -> dict:
    """Loads the log in a separate process, which prepares it if the cache is empty."""
    process = subprocess.run(
        [sys.executable, "-c", LOAD, str(path), str(cache)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(process.stdout)


def main() -> None:
    """Writes, prepares, loads again, and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=360_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--form", choices=("parquet", "csv"), default="parquet")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"shop.{arguments.form}"
        start = time.perf_counter()
        write(path, arguments.users, arguments.items)
        mib, seconds = path.stat().st_size / 2**20, time.perf_counter() - start
        print(f"written: {mib:,.0f} MiB in {seconds:.0f} s")
        for what in ("prepared", "loaded again"):
            found = load(path, Path(folder) / "cache")
            rate = found["events"] / found["load_s"]
            print(
                f"{what}: {found['events']:,} events in {found['load_s']:.1f} s, {rate:,.0f} "
                f"per second; import {found['import_s']:.1f} s, peak {found['peak_gib']:.2f} GiB"
            )


if __name__ == "__main__":
    main()
