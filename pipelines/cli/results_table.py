"""Results as a table for the terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table

from pipelines.evaluation.baselines import best_rule
from pipelines.evaluation.evaluator import COLUMNS


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
    shown = [protocol for protocol in COLUMNS if protocol in first]
    dense = len(shown) > 3
    for protocol in shown:
        of = "\n" if dense else " "
        asked = f"{first[protocol]['questions']:,} x{of}{first[protocol]['candidates']:,.0f}"
        table.add_column(f"{COLUMNS[protocol]}\n{asked}", justify="right", no_wrap=True)
    best = {protocol: best_rule(results, protocol) for protocol in shown}
    for scorer, protocols in results.items():
        cells = (_cell(protocols[name], scorer == best[name], dense) for name in shown)
        table.add_row(scorer, *cells)
    return table


def _cell(metrics, is_best, dense):
    """Formats a result, e.g. `0.3490 / 0.1789*`, or `.3490/.1789*` if `dense`."""
    parts = [f"{metrics[name]:.4f}" for name in ("hr@10", "ndcg@10")]
    text = "/".join(part.removeprefix("0") for part in parts) if dense else " / ".join(parts)
    return text + ("*" if is_best else " ")
