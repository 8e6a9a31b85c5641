"""An experiment's results as tables for the terminal, one per protocol."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.table import Table
from rich.text import Text

from pipelines.evaluation.evaluator import (
    FULL,
    FULL_RETURNABLE,
    FULL_UNSEEN,
    SAMPLED,
    SAMPLED_POPULAR,
)
from pipelines.experiments.comparison import METRICS, mean_and_deviation
from pipelines.runtime.printable import printable

_TITLES = {
    SAMPLED: "99 random negatives",
    SAMPLED_POPULAR: "99 negatives drawn by popularity",
    FULL: "full catalogue",
    FULL_UNSEEN: "full catalogue, new items only",
    FULL_RETURNABLE: "full catalogue, items that can return",
}


def experiment_tables(results: dict) -> Iterator[Table]:
    """Yields tables of every variant's test results, and of the reference's lead.

    There is one for each protocol that all of them were evaluated under. A star marks the best of
    the rules that are not trained.

    Args:
        results: what `Experiment.run` returns.
    """
    reference = results["reference"]
    tested = [seed["test"] for row in results["variants"] for seed in row["seeds"]]
    first = tested[0]
    for protocol, heading in _TITLES.items():
        if not all(protocol in each for each in tested):
            continue
        asked = f"{first[protocol]['questions']:,} x {first[protocol]['candidates']:,.0f}"
        title = f"test, {heading} ({asked}); * the best simple rule"
        table = Table(title=title, title_justify="left", box=box.SIMPLE)
        table.add_column("", no_wrap=True)
        for metric in METRICS:
            heading = f"{metric.upper()}\n{printable(reference)} ahead by (95 %)"
            table.add_column(Text(heading), justify="right", no_wrap=True)
        best = {metric: _best_rule(results, protocol, metric) for metric in METRICS}
        for row in results["variants"]:
            differences = results["differences"].get(row["name"], {}).get(protocol, {})
            cells = [
                ("* " if row is best[metric] else "")
                + _cell(row, protocol, metric, differences.get(metric))
                for metric in METRICS
            ]
            table.add_row(Text(printable(row["name"])), *cells)
        yield table


def _best_rule(results, protocol, metric):
    """Returns the row of the rule with the highest mean, None if no rule is evaluated."""
    rules = [row for row in results["variants"] if not row["trained"]]
    return max(rules, key=lambda row: _mean(row, protocol, metric)[0], default=None)


def _mean(row, protocol, metric):
    """Returns mean and deviation over the seeds."""
    return mean_and_deviation([seed["test"][protocol][metric] for seed in row["seeds"]])


def _cell(row, protocol, metric, difference):
    """Formats mean and deviation over the seeds and, below them, the reference's lead."""
    mean, deviation = _mean(row, protocol, metric)
    text = f"{mean:.4f} ± {deviation:.4f}" if len(row["seeds"]) > 1 else f"{mean:.4f}"
    if not difference:
        return text
    # Without leading zeros, two columns of them fit a terminal.
    ahead, low, high = (
        f"{difference[part]:+.4f}".replace("0.", ".", 1) for part in ("difference", "low", "high")
    )
    return f"{text}\n[dim]{ahead} ({low}, {high})[/dim]"
