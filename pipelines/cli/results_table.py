"""Results as a table for the terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table

from pipelines.evaluation.baselines import best_rule
from pipelines.evaluation.evaluator import FULL, FULL_UNSEEN, SAMPLED

_TITLES = {SAMPLED: "sampled", FULL: "full", FULL_UNSEEN: "full, new items"}


def results_table(part: str, results: dict) -> Table:
    """Returns a table of HR@10 and NDCG@10 for every scorer and protocol.

    A star marks the simple rule with the best NDCG@10 of each column.

    Args:
        part: the split that was evaluated, for the title.
        results: `results[scorer][protocol][metric]`, see `evaluation.Evaluator`.
    """
    title = f"{part}: HR@10 / NDCG@10 (questions x candidates); * the best simple rule"
    # Narrow enough for a terminal of 80 columns.
    table = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("", no_wrap=True)
    first = next(iter(results.values()))
    for protocol, heading in _TITLES.items():
        asked = f"{first[protocol]['questions']:,} x {first[protocol]['candidates']:,.0f}"
        table.add_column(f"{heading}\n{asked}", justify="right", no_wrap=True)
    best = {protocol: best_rule(results, protocol) for protocol in _TITLES}
    for scorer, protocols in results.items():
        cells = (_cell(protocols[protocol], scorer == best[protocol]) for protocol in _TITLES)
        table.add_row(scorer, *cells)
    return table


def _cell(metrics, is_best):
    mark = "*" if is_best else " "
    return f"{metrics['hr@10']:.4f} / {metrics['ndcg@10']:.4f}{mark}"
