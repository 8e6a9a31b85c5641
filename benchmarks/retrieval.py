"""Latency and memory of `recommend` with every available `--retrieval`.

    python benchmarks/retrieval.py                           # about ten minutes, up to 4 GB
    python benchmarks/retrieval.py --items 100000 --json retrieval.json

A model with random weights (K = 4 behaviours, d = 64, length 50) is exported once per retrieval.
The exports are called in turns in this process, with full histories and k = 10. Memory is measured
in a separate process: its peak during a few calls of 64 histories, beyond what it held before them
with the model loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from serving_load import BEHAVIORS, DIM, HISTORIES, LENGTH, columns, quantiles, random_histories

from pipelines.runtime.errors import InputError
from pipelines.runtime.retrievals import RETRIEVALS
from pipelines.runtime.terminal import prepare_keras, say

BATCHES = (1, 64)
_MEMORY_CALLS = 5


def measure(items: int, calls: int) -> dict:
    """Measures latencies by retrieval and batch, and MiB by retrieval, of one catalogue."""
    from model_alone import in_turns

    results = {"items": items, "dim": DIM, "length": LENGTH, "calls": calls}
    results["cores"] = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        versions = export_all(Path(folder), items)
        results["memory"] = {name: _memory_apart(path) for name, path in versions.items()}
        loaded = {name: _load(path) for name, path in versions.items()}
        jobs = {
            (name, rows): lambda name=name, rows=rows: _ask(loaded[name], items, rows)[
                "scores"
            ].numpy()
            for rows in BATCHES
            for name in versions
        }
        samples = in_turns(jobs, calls)
        results["found"] = _shares(loaded, items)
    results["latency"] = {
        name: {str(rows): quantiles(samples[name, rows]) for rows in BATCHES} for name in versions
    }
    return results


def export_all(folder: Path, items: int) -> dict[str, Path]:
    """Exports one model with every available retrieval."""
    import keras

    from hmar_keras import HMAR, Behaviors, HMARConfig
    from pipelines.export import export

    keras.utils.set_random_seed(0)
    model = HMAR(HMARConfig(items, Behaviors(BEHAVIORS, BEHAVIORS[-1]), dim=DIM, max_length=LENGTH))
    names = np.array([f"item-{number}" for number in range(1, items + 1)])
    popularity = np.random.default_rng(0).random(items + 1)
    versions = {}
    for name in RETRIEVALS:
        try:
            versions[name] = export(model, names, popularity, folder / name, {}, retrieval=name)
        except InputError as error:
            say(f"{name} is left out: {error}")
    return versions


def _load(version):
    import tensorflow as tf

    return tf.saved_model.load(str(version))


def _shares(loaded, items):
    """Returns the share of the top ten of the first, exact retrieval that each one finds."""
    answers = [_ask(model, items, max(BATCHES))["items"].numpy() for model in loaded.values()]
    exact = answers[0]
    return {
        name: float(np.mean([np.isin(row, truth) for row, truth in zip(own, exact, strict=True)]))
        for name, own in zip(loaded, answers, strict=True)
    }


_asked: dict[tuple[int, int], dict] = {}


def _ask(loaded, items, rows):
    import tensorflow as tf

    if (items, rows) not in _asked:
        names = ("items", "behaviors")
        histories = columns(random_histories(items, HISTORIES)[:rows])
        asked = {name: tf.constant(part) for name, part in zip(names, histories, strict=True)}
        asked |= {"k": tf.constant(10), "exclude_seen": tf.constant(False)}
        _asked[items, rows] = asked
    return loaded.signatures["recommend"](**_asked[items, rows])


def _memory_apart(version: Path) -> float:
    """Measures MiB in a separate process."""
    command = [sys.executable, __file__, "--memory", str(version)]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"{version}: exit {ran.returncode}\n{ran.stderr}")
    return json.loads(ran.stdout.splitlines()[-1])


def _memory(version: Path) -> float:
    """Measures the MiB that calls of the largest batch take at most."""
    items = (version / "assets" / "items.txt").read_bytes().count(b"\n")
    loaded = _load(version)
    _ask(loaded, items, 1)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    for _ in range(_MEMORY_CALLS):
        _ask(loaded, items, max(BATCHES))["scores"].numpy()
    return _status("VmHWM") - before


def _status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith(name))


def table(results: list[dict]) -> Table:
    """Returns the results as a table for the terminal."""
    first = results[0]
    title = f"recommend, d = {first['dim']}, length {first['length']}, {first['cores']} cores"
    shown = Table(title=title, title_justify="left", box=box.SIMPLE)
    for heading in ("items", "retrieval"):
        shown.add_column(heading, no_wrap=True)
    for heading in (
        *(f"{rows}: p50 / p99, ms" for rows in BATCHES),
        f"{BATCHES[-1]}: MiB",
        "found",
    ):
        shown.add_column(heading, justify="right", no_wrap=True)
    for part in results:
        for name, latency in part["latency"].items():
            cells = [f"{row['p50']:,.1f} / {row['p99']:,.1f}" for row in latency.values()]
            cells += [f"{part['memory'][name]:,.0f}", f"{part['found'][name]:.3f}"]
            shown.add_row(f"{part['items']:,}", name, *cells)
    return shown


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints a table, and writes JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--calls", type=int, default=50, help="calls of each retrieval and batch")
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--memory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    prepare_keras(backend="tensorflow")
    if options.memory:
        print(json.dumps(_memory(options.memory)))
        return
    results = [measure(items, options.calls) for items in options.items]
    console = Console()
    console = console if console.is_terminal else Console(width=150)
    console.print(table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
