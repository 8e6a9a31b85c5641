"""Results as a table for the terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table

from pipelines.evaluation.evaluator import FULL, FULL_UNSEEN, SAMPLED

_TITLES = {SAMPLED: "sampled", FULL: "full", FULL_UNSEEN: "full, new items"}


def results_table(part: str, results: dict) -> Table:
    """Returns a table of HR@10 and NDCG@10 for every scorer and protocol.

    Args:
        part: the split that was evaluated, for the title.
        results: `results[scorer][protocol][metric]`, see `evaluation.Evaluator`.
    """
    title = f"{part}: HR@10 / NDCG@10 (questions x candidates)"
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    table.add_column("", no_wrap=True)
    first = next(iter(results.values()))
    for protocol, heading in _TITLES.items():
        asked = f"{first[protocol]['questions']:,} x {first[protocol]['candidates']:,.0f}"
        table.add_column(f"{heading}\n{asked}", justify="right", no_wrap=True)
    for scorer, protocols in results.items():
        metrics = [protocols[protocol] for protocol in _TITLES]
        table.add_row(scorer, *(f"{m['hr@10']:.4f} / {m['ndcg@10']:.4f}" for m in metrics))
    return table
