"""Sections about the settings that a search changed: each by itself, and all together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.report.elements import (
    Heading,
    Paragraph,
    Picture,
    Pictures,
    Section,
    Table,
    number,
    percent,
    shown,
)
from pipelines.report.pictures import Interval, intervals
from pipelines.report.search_pictures import against, parallel
from pipelines.tuning.importance import importance, places
from pipelines.tuning.progress import short
from pipelines.tuning.space import Choices, SearchSpace
from pipelines.tuning.trials import Trial, completed

_THIRDS = ("lower third", "middle third", "upper third")
_HARDLY = 0.05


def settings_section(
    trials: Sequence[Trial], began: int | None, space: SearchSpace, title: str
) -> Section:
    """How much each setting matters, and the scores by its values.

    Args:
        trials: completed ones.
        began: which of them has the settings that the search began with.
        space: what they changed.
        title: of the score.
    """
    found = importance(trials, space)
    # A forest that foretells nothing has nothing to tell of the settings either.
    told = found if found and found.explained > 0 else None
    names = sorted(space.entries, key=lambda name: -told.shares[name] if told else 0)
    columns = dict(zip(space.entries, places(trials, space).T, strict=True))
    scores = np.array([trial.score for trial in trials])
    blocks = [Paragraph(_reliability(trials, found))]
    if told:
        blocks.append(Pictures([_importance(told, names)]))
    pictures = []
    for place, name in enumerate(names):
        anchor, curve = f"setting-{place}", told.curves[name] if told else None
        entry, values = space.entries[name], [trial.values[name] for trial in trials]
        text = f"The best has {_word(values[int(np.argmax(scores))])} (star)."
        if began is not None:
            text = f"The search began with {_word(values[began])} (square). {text}"
        texts = (f"{title} by {shown(name)}", text + _of_forest(name, entry, told))
        svg = against(anchor, texts, columns[name], scores, _ticks(entry), began, curve)
        rows = [
            [trials[i].trial_id, _word(values[i]), number(scores[i])]
            for i in np.argsort(columns[name], kind="stable")
        ]
        table = Table(texts[0], ["trial", "value", title], rows)
        pictures.append(Picture(shown(name), svg, texts[1], table))
    text = f"{title[0].upper()}{title[1:]}, by setting"
    return Section("settings", "What matters", [*blocks, Heading(text), Pictures(pictures)])


def _reliability(trials, found):
    if found is None:
        return (
            f"{len(trials)} completed trials are too few, or too much alike, to say which settings "
            "matter."
        )
    if found.explained <= 0:
        return (
            f"A random forest fitted to the {len(trials)} trials foretells those that its trees "
            "have not seen no better than their mean does: which settings matter cannot be told "
            "from so few."
        )
    return (
        f"A random forest fitted to the {len(trials)} trials foretells {percent(found.explained)} "
        "of the differences between those that its trees have not seen; the lower that is, the "
        "less the following means. A setting's share is what it makes by itself; what several make "
        "only together is in none."
    )


def _importance(found, names):
    rows = [Interval(shown(name), found.shares[name]) for name in names]
    rest = max(0.0, 1 - sum(found.shares.values()))
    sentence = (
        f"{shown(names[0])} makes {percent(found.shares[names[0]])} of the differences by itself; "
        f"{percent(rest)} are of settings together."
    )
    title = "Importance of the settings"
    cells = [[shown(name), percent(found.shares[name])] for name in names]
    svg = intervals("importance", (title, sentence), rows, "share of the differences", digits=2)
    return Picture(title, svg, sentence, Table(title, ["", "share"], cells))


def _of_forest(name, entry, found):
    """What the line through the points of a setting says."""
    if found is None:
        return ""
    if found.shares[name] < _HARDLY:
        return " To the forest (dashed) it hardly matters."
    at, means = found.curves[name]
    return f" By the forest (dashed) it is best {_where(entry, float(at[np.argmax(means)]))}."


def _where(entry, place):
    if isinstance(entry, Choices):
        return f"at {_word(entry.choices[round(place * (len(entry.choices) - 1))])}"
    return f"in the {_THIRDS[min(2, int(3 * place))]} of its range"


def together_section(trials: Sequence[Trial], space: SearchSpace, title: str) -> Section:
    """Every trial as a line through all its settings and its score.

    Args:
        trials: completed ones.
        space: what they changed.
        title: of the score.
    """
    ranked = completed(trials)
    scores = np.array([trial.score for trial in ranked])
    low, high = scores.min(), scores.max()
    scaled = (scores - low) / (high - low) if high > low else np.full(len(scores), 0.5)
    strong = -(-len(ranked) // 4)
    rows = [(name, _ticks(entry)) for name, entry in space.entries.items()]
    rows.append(("score", {0.0: number(low), 1.0: number(high)} if high > low else {}))
    sentence = (
        f"The thick line is the best trial, {ranked[0].trial_id}; solid are the best {strong} of "
        f"{len(ranked)}, dashed the others. Where solid lines meet, the best agree."
    )
    cells = [
        [
            trial.trial_id,
            *(_word(trial.values[name]) for name in space.entries),
            number(trial.score),
        ]
        for trial in ranked
    ]
    caption = "All settings of all trials"
    lines = np.column_stack([places(ranked, space), scaled])
    svg = parallel("together", (caption, sentence), rows, lines, strong)
    table = Table(caption, ["trial", *map(shown, space.entries), title], cells)
    return Section(
        "together", "Settings together", [Pictures([Picture(caption, svg, sentence, table)])]
    )


def _ticks(entry):
    return {place: _word(value) for place, value in entry.ticks().items()}


def _word(value):
    return shown(short(value))
