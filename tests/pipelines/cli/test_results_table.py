"""The table of a run's results on the terminal."""

import io

import pytest
from rich.console import Console

from pipelines.cli.results_table import results_table

SCORERS = ("HMAR", "popularity", "touched, by conversion")
PROTOCOLS = ("sampled", "full", "full_unseen", "full_returnable")


def results_of(protocols, questions=1_234_567):
    """Returns results in which the last scorer is the best rule of the last protocol alone."""
    numbers = {"questions": questions, "candidates": 9_876.2}
    results = {scorer: {} for scorer in SCORERS}
    for protocol in protocols:
        for place, scorer in enumerate(SCORERS):
            gain = 0.01 * place if protocol == protocols[-1] else -0.01 * place
            metrics = {"hr@10": 0.5, "ndcg@10": 0.25 + gain}
            results[scorer][protocol] = {**numbers, **metrics}
    return results


def lines_of(results, width=80):
    console = Console(width=width, file=io.StringIO())
    console.print(results_table("test", results))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("count", [3, 4])
def test_it_fits_80_columns_and_marks_the_best_rule(count):
    shown = PROTOCOLS[:count]
    questions = 1_234_567 if count == 4 else 1_234
    lines = lines_of(results_of(shown, questions))
    assert lines == lines_of(results_of(shown, questions), width=200)  # nothing is cut
    (titles,) = [line for line in lines if "sampled" in line]
    assert ("can return" in titles) == (count == 4)
    rows = {name: line for line in lines for name in SCORERS if name in line}
    hits, gains = (".5000/", ".27") if count == 4 else ("0.5000 / ", "0.27")
    assert rows["HMAR"].count(hits) == count
    assert rows["HMAR"].count("*") == 0
    # The last column is the only one in which the last rule is the best.
    assert rows["popularity"].count("*") == count - 1
    assert rows["touched, by conversion"].count("*") == 1
    assert rows["touched, by conversion"].endswith(f"{hits}{gains}00*")


def test_a_perfect_score_is_not_shortened():
    results = results_of(PROTOCOLS)
    results["HMAR"]["full"]["hr@10"] = 1.0
    assert any("1.0000/.2500" in line for line in lines_of(results))
