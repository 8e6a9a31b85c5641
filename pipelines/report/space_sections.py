"""Sections about the settings of a search: each by itself, and all together."""

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
    """Builds the section about how much each setting matters, with the scores by its values.

    Args:
        trials: completed trials.
        began: index of the trial with the settings that the search began with; None for none.
        space: the searched settings.
        title: name of the score.
    """
    found = importance(trials, space)
    # A forest that predicts nothing says nothing about the settings either.
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
        text = f"The best trial has {_word(values[int(np.argmax(scores))])} (star)."
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
            f"{len(trials)} completed trials are too few, or their scores too similar, to say "
            "which settings matter."
        )
    if found.explained <= 0:
        return (
            f"A random forest fitted to the {len(trials)} trials predicts those that its trees "
            "have not seen no better than their mean does: these trials do not show which settings "
            "matter."
        )
    return (
        f"A random forest fitted to the {len(trials)} trials explains {percent(found.explained)} "
        "of the variance among trials that its trees have not seen; the lower this is, the less "
        "the following means. A setting's share is the variance that it explains by itself; no "
        "share includes the interactions between settings."
    )


def _importance(found, names):
    rows = [Interval(shown(name), found.shares[name]) for name in names]
    rest = max(0.0, 1 - sum(found.shares.values()))
    sentence = (
        f"{shown(names[0])} explains {percent(found.shares[names[0]])} of the variance by itself; "
        f"{percent(rest)} is due to interactions between settings."
    )
    title = "Importance of the settings"
    cells = [[shown(name), percent(found.shares[name])] for name in names]
    svg = intervals("importance", (title, sentence), rows, "share of the variance", digits=2)
    return Picture(title, svg, sentence, Table(title, ["", "share"], cells))


def _of_forest(name, entry, found):
    """Describes the line through the points of a setting."""
    if found is None:
        return ""
    if found.shares[name] < _HARDLY:
        return " In the forest (dashed), it hardly matters."
    at, means = found.curves[name]
    return f" In the forest (dashed), it is best {_where(entry, float(at[np.argmax(means)]))}."


def _where(entry, place):
    if isinstance(entry, Choices):
        return f"at {_word(entry.choices[round(place * (len(entry.choices) - 1))])}"
    return f"in the {_THIRDS[min(2, int(3 * place))]} of its range"


def together_section(trials: Sequence[Trial], space: SearchSpace, title: str) -> Section:
    """Builds the section with each trial as a line through all its settings and its score.

    Args:
        trials: completed trials.
        space: the searched settings.
        title: name of the score.
    """
    ranked = completed(trials)
    scores = np.array([trial.score for trial in ranked])
    low, high = scores.min(), scores.max()
    scaled = (scores - low) / (high - low) if high > low else np.full(len(scores), 0.5)
    strong = -(-len(ranked) // 4)
    rows = [(name, _ticks(entry)) for name, entry in space.entries.items()]
    rows.append(("score", {0.0: number(low), 1.0: number(high)} if high > low else {}))
    sentence = (
        f"The thick line is the best trial, {ranked[0].trial_id}; the best {strong} of "
        f"{len(ranked)} are solid, the others dashed. Where solid lines meet, the best agree."
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
