"""Plants faults in a copy of the repository, and counts how many the tests catch.

    python -m tests.planted_faults                   # all faults, about ten minutes
    python -m tests.planted_faults masks ndcg_log    # areas and single faults
    python -m tests.planted_faults --list            # what there is
    python -m tests.planted_faults --output before.json

Runs the likely tests of each fault, and with `--whole` all quick tests where these pass. The exit
status is 0 if at least 90 % are caught.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from .fault import Fault
from .faults import FAULTS
from .runner import Outcome, RunnerError, check_baseline, run_fault, temporary_copy

_ENOUGH = 0.9
_TIMEOUT = 600.0
_WIDTHS = [max(map(len, words)) for words in zip(*((f.name, f.area) for f in FAULTS), strict=True)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    faults = _chosen(options.names)
    if options.list:
        for fault in faults:
            print(f"{fault.name:{_WIDTHS[0]}} {fault.area:{_WIDTHS[1]}} {fault.file}")
        return 0
    try:
        with temporary_copy(options.markers, options.timeout, options.fresh) as copy:
            check_baseline(copy, faults, options.whole)
            outcomes = _run_all(copy, faults, options)
    except (RunnerError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    caught = sum(outcome.caught_by is not None for outcome in outcomes)
    print(f"caught {caught} of {len(outcomes)} ({caught / len(outcomes):.0%})")
    return 0 if caught >= _ENOUGH * len(outcomes) else 1


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m tests.planted_faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="faults or areas; all if there are none")
    add("--list", action="store_true", help="show the faults and run nothing")
    add("--whole", action="store_true", help="run all quick tests where the likely ones pass")
    add("--fresh", action="store_true", help="start Python anew for each fault, which is slow")
    add("-m", dest="markers", metavar="MARKERS", help="marker expression for pytest")
    add("--timeout", type=float, default=_TIMEOUT, help="seconds for the tests of a fault")
    add("--output", type=Path, metavar="FILE", help="write the table as JSON, too")
    return parser


def _chosen(names: Sequence[str]) -> list[Fault]:
    known = {name for fault in FAULTS for name in (fault.name, fault.area)}
    unknown = sorted(set(names) - known)
    if unknown:
        sys.exit(f"unknown fault or area {unknown[0]!r}; see --list.")
    return [each for each in FAULTS if not names or {each.name, each.area} & set(names)]


def _run_all(copy, faults, options) -> list[Outcome]:
    """Runs the faults, prints a row each, and keeps the file of results up to date."""
    print(f"{'fault':{_WIDTHS[0]}} {'area':{_WIDTHS[1]}} seconds  caught by")
    outcomes = []
    for fault in faults:
        outcome = run_fault(copy, fault, options.whole)
        outcomes.append(outcome)
        row = f"{outcome.name:{_WIDTHS[0]}} {outcome.area:{_WIDTHS[1]}} {outcome.seconds:7.1f}"
        missed = f"NOT CAUGHT {outcome.reason or ''}"
        print(f"{row}  {outcome.caught_by or missed}", flush=True)
        if options.output:
            options.output.write_text(json.dumps(_content(outcomes), indent=2) + "\n")
    return outcomes


def _content(outcomes):
    return {
        "caught": sum(outcome.caught_by is not None for outcome in outcomes),
        "planted": len(outcomes),
        "faults": [dataclasses.asdict(outcome) for outcome in outcomes],
    }


if __name__ == "__main__":
    sys.exit(main())
