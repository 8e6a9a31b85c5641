"""Memory and time of up to ten million items, with a row per item and hashed into buckets.

    python benchmarks/large_catalogue.py                    # about five minutes, up to 10 GB
    python benchmarks/large_catalogue.py --items 1000000 --json large.json

Each row is measured in a separate process, on synthetic ids drawn from the whole catalogue, so that
consecutive batches share hardly any items. `table + moment` is what the item table, its moment and
a number per row take on paper. `measured` is the peak memory of the process beyond what it held
before the model was built. A training step or a ranking that copied the table, or made a gradient
as large, would show in both memory and time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

DIM, MAX_LENGTH, BATCH, CANDIDATES, BEHAVIORS = 64, 50, 128, 100, 4
STEPS, SHARE_OF_BUCKETS = 20, 20
OVERHEAD_BYTES = 1.5e9  # of TensorFlow and the compiled functions
MOST_BYTES = 12e9  # a process that holds more exits
COLUMNS = (
    *("items", "buckets", "parameters", "table + moment, GB", "measured, GB"),
    *("first step, ms", "step, ms", "ranking 100, ms"),
)


def measure(items: int, buckets: int) -> dict:
    """Measures one row of the table in this process."""
    threading.Thread(target=_end_when_too_large, daemon=True).start()
    import numpy as np
    from measuring import peak_memory, time_calls

    from hmar_keras import HMAR, Behaviors, HMARConfig, compile_arguments

    rng = np.random.default_rng(0)
    config = HMARConfig(
        items,
        Behaviors([f"b{number}" for number in range(1, BEHAVIORS + 1)], f"b{BEHAVIORS}"),
        dim=DIM,
        max_length=MAX_LENGTH,
        item_buckets=buckets,
    )
    before = _held()
    model = HMAR(config)
    model.compile(**compile_arguments(model), jit_compile=False)
    # Keras would build the moments in the first step, where that takes one more table.
    model.optimizer.build(model.trainable_variables)
    batches = [_batch(rng, items) for _ in range(STEPS + 1)]
    first = time_calls(model.train_on_batch, batches[:1])
    steps = [time_calls(model.train_on_batch, [batch]) for batch in batches[1:]]
    questions = [_question(rng, items) for _ in range(STEPS + 1)]
    model.predict_on_batch(questions[0])
    rankings = [time_calls(model.predict_on_batch, [(batch,)]) for batch in questions[1:]]
    table = model.backbone.item_encoder.item_table.embeddings
    return {
        "items": items,
        "buckets": buckets,
        "parameters": model.count_params(),
        "table + moment, GB": 4 * table.shape[0] * (2 * table.shape[1] + 1) / 1e9,
        "measured, GB": (peak_memory() * 2**30 - before) / 1e9,
        "first step, ms": first,
        "step, ms": float(np.median(steps)),
        "step, fastest": min(steps),
        "ranking 100, ms": float(np.median(rankings)),
        "ranking 100, fastest": min(rankings),
    }


def _batch(rng, items):
    """Returns the arguments of a training step: full histories, one negative per position."""
    ids = rng.integers(1, items + 1, (3, BATCH, MAX_LENGTH), dtype="int32")
    behaviors = rng.integers(1, BEHAVIORS + 1, (2, BATCH, MAX_LENGTH), dtype="int32")
    inputs = {
        "item_ids": ids[0],
        "behavior_ids": behaviors[0],
        "candidate_ids": ids[1:].transpose(1, 2, 0),
    }
    return inputs, {"ranking": behaviors[1], "behavior": behaviors[1]}


def _question(rng, items):
    """Returns histories and, after their last event, candidates of the sampled protocol."""
    (inputs, _), shape = _batch(rng, items), (BATCH, 1, CANDIDATES)
    return {**inputs, "candidate_ids": rng.integers(1, items + 1, shape, dtype="int32")}


def _held() -> int:
    """Returns the bytes that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _available() -> int:
    """Returns the bytes that a new process may take without another being killed for it."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


def _end_when_too_large():
    while _held() < MOST_BYTES:
        time.sleep(0.02)
    print(f"stopped: the process holds {MOST_BYTES / 1e9:.0f} GB", file=sys.stderr, flush=True)
    os._exit(3)


def measure_apart(items: int, buckets: int) -> dict:
    """Runs `measure` in a separate process."""
    needed = 12 * DIM * (2 * buckets or items) + OVERHEAD_BYTES
    if needed > min(_available(), MOST_BYTES):
        raise SystemExit(f"{items:,} items need {needed / 1e9:.1f} GB of free memory.")
    command = [sys.executable, __file__, "--one", f"{items},{buckets}"]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"{items} items, {buckets} buckets: exit {ran.returncode}\n{ran.stderr}")
    return json.loads(ran.stdout.splitlines()[-1])


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, nargs="+", default=[1_000_000, 5_000_000, 10_000_000])
    parser.add_argument("--json", type=Path, help="file to write the numbers to")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*map(int, arguments.one.split(",")))))
        return
    print(" | ".join(COLUMNS))
    lines = []
    for items in arguments.items:
        for buckets in (0, items // SHARE_OF_BUCKETS):
            lines.append(measure_apart(items, buckets))
            cells = (lines[-1][column] for column in COLUMNS)
            print(" | ".join(f"{c:,.2f}" if isinstance(c, float) else f"{c:,}" for c in cells))
    if arguments.json:
        arguments.json.write_text(json.dumps(lines, indent=2) + "\n")


if __name__ == "__main__":
    main()
