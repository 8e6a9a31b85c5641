"""A bar chart of the results page's summary: HR@10 on items that are new to the user."""

from __future__ import annotations

import re
from pathlib import Path

from svg import Picture

RESULTS = Path(__file__).resolve().parent.parent / "pages" / "results.md"
ROW = re.compile(r"\| ?([\w/]*) ? \| (\w[\w ,-]+) \| [\d. /]+ \| [\d. /]+ \| ([\d.]+) / [\d.]+ \|")
LEFT, WIDTH, BAR, ROW_HEIGHT = 170, 190, 22, 28
GAP = WIDTH + 52  # distance between datasets


def draw() -> Picture:
    """Draws the picture."""
    results = hit_rates(RESULTS.read_text(encoding="utf-8"))
    sentences = (
        f"{dataset}: " + ", ".join(f"{name} {hits:.1%}" for name, hits in rows.items())
        for dataset, rows in results.items()
    )
    bottom = BAR + ROW_HEIGHT * max(map(len, results.values()))
    picture = Picture(
        LEFT + GAP * len(results) + 24,
        bottom + 72,
        "HR@10 on new items, HMAR compared with simple baselines",
        "How often the next item, if new to the user, is among the first ten of the catalogue. "
        + "; ".join(sentences)
        + ".",
    )
    for row, name in enumerate(next(iter(results.values()))):
        kind = "end strong" if name == "HMAR" else "end"
        picture.words(LEFT - 12, 74 + row * ROW_HEIGHT, name, kind)
    for place, (dataset, rows) in enumerate(results.items()):
        _bars(picture, LEFT + place * GAP, dataset, rows)
    note = "How often the next item, if new to the user, is in the top ten of the whole catalogue"
    picture.words(
        24, bottom + 58, f"{note} (HR@10, test, one seed). Each log has its own scale.", "small"
    )
    return picture


def hit_rates(text: str) -> dict[str, dict[str, float]]:
    """Reads HR@10 on new items from the summary of the results page, by dataset and scorer."""
    results, dataset = {}, None
    for name, scorer, hits in ROW.findall(text):
        dataset = name or dataset
        results.setdefault(dataset, {})[scorer] = float(hits)
    return results


def _bars(picture, x, dataset, rows):
    picture.words(x, 36, dataset, "title")
    highest = max(rows.values())
    for row, (name, hits) in enumerate(rows.items()):
        y = 58 + row * ROW_HEIGHT
        width = max(1.5, (WIDTH - 8) * hits / highest)
        picture.box(x, y, width, BAR, "hmar" if name == "HMAR" else "rest", 3)
        picture.words(x + width + 6, y + 16, f"{hits:.1%}", "strong" if name == "HMAR" else "")
