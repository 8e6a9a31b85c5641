"""The speed of training, evaluation and serving, next to what it could be.

    python benchmarks/speed.py                              # all sections, ten minutes
    python benchmarks/speed.py --only step,pipeline --json speed.json
    python benchmarks/speed.py --quick                      # only checks that it runs

Every section is measured in a separate process, and every number next to its reference in that
process: the plain HMAR of `plain_hmar.py`, the step, or a floor that `roofline.py` computes from
the rates of a large matrix product and of copying, measured just before. A ratio is the median
over the reference's, next to what the project requires (its issue "Speed").
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

# By section: its title, and module:function of each measurement, in a process each.
SECTIONS = {
    "step": ("Training step, batches in memory", ["training_speed:step"]),
    "fit": ("Training end to end", ["training_speed:fit"]),
    "pipeline": ("Input pipeline alone", ["training_speed:pipeline"]),
    "roofline": ("Parts of a step and their floors", ["training_speed:roofline"]),
    "catalog": (
        "Large catalogues, d = 40",
        ["training_speed:large_catalog", "training_speed:larger_catalog"],
    ),
    "memory": ("Memory", ["training_speed:memory_fast", "training_speed:memory_plain"]),
    "evaluation": ("Evaluation", ["answering_speed:evaluation"]),
    "serving": ("Exported model, top 10", ["answering_speed:serving"]),
}


def section_function(name: str) -> Callable:
    """Imports the function of `module:function`, late because its module imports TensorFlow."""
    module, function = name.split(":")
    return getattr(importlib.import_module(module), function)


def measure(function: str, quick: bool, changes: dict) -> list[dict]:
    """Measures the rows of `module:function` in this process; `changes` are to the size."""
    import workload

    size = dataclasses.replace(workload.QUICK if quick else workload.FULL, **changes)
    return [row.to_dict() for row in section_function(function)(size)]


def measure_apart(function: str, changes: dict) -> list[dict]:
    """Runs `measure` at full size in a separate process."""
    command = [sys.executable, __file__, "--function", function]
    for name, value in changes.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    # oneDNN as in the commands.
    environment = {"TF_ENABLE_ONEDNN_OPTS": "1", **os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    found = subprocess.run(command, env=environment, capture_output=True, text=True)
    if found.returncode:
        sys.exit(f"{function} failed:\n{found.stderr}")
    return json.loads(found.stdout.splitlines()[-1])


def table(title: str, rows: list[dict]) -> Table:
    """Returns the rows of a section as a table for the terminal."""
    shown = Table(title=title, title_justify="left", box=box.SIMPLE)
    shown.add_column("", no_wrap=True)
    for heading in ("median", "lowest", "highest"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for heading in ("", "ratio", "required", ""):
        shown.add_column(heading, no_wrap=True)
    for row in rows:
        numbers = [_number(row[key]) for key in ("median", "low", "high")]
        if len(row["samples"]) == 1:
            numbers[1:] = ["", ""]
        met = {None: "", True: "yes", False: "NO"}[row["met"]]
        shown.add_row(row["name"], *numbers, row["unit"], _ratio(row), _limit(row), met)
    return shown


def _number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _ratio(row):
    return "" if row["ratio"] is None else f"{_multiple(row['ratio'])} of {row['reference']}"


def _multiple(ratio):
    return f"1/{1 / ratio:.1f}" if ratio < 0.5 else f"{ratio:.2f}"


def _limit(row):
    limit = row["limit"]
    if limit is None:
        return ""
    show = _multiple if limit["of"] == "ratio" else _number
    if limit["most"] is not None:
        return f"at most {show(limit['most'])}"
    return f"at least {show(limit['least'])}"


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints a table per section, and writes JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, separated by commas")
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, all in this process")
    parser.add_argument("--repeats", type=int, help="samples of each number")
    parser.add_argument("--function", help=argparse.SUPPRESS)  # for the process of a section
    options = parser.parse_args(arguments)
    changes = {"repeats": options.repeats} if options.repeats is not None else {}
    if changes.get("repeats", 1) < 1:
        parser.error("--repeats must be at least 1")
    if options.function:
        print(json.dumps(measure(options.function, False, changes)))
        return
    chosen = options.only.split(",")
    unknown = sorted(set(chosen) - set(SECTIONS))
    if unknown:
        parser.error(f"no such section: {', '.join(unknown)}; choose from {', '.join(SECTIONS)}")
    console, results = Console(), {}
    if not console.is_terminal:
        console = Console(width=150)
    for section in chosen:
        title, functions = SECTIONS[section]
        results[section] = []
        for function in functions:
            if options.quick:
                results[section] += measure(function, True, changes)
            else:
                results[section] += measure_apart(function, changes)
        console.print(table(title, results[section]))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
