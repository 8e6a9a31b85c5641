"""The section that follows one user through the model."""

from __future__ import annotations

import numpy as np

from pipelines.description.numbers import counted
from pipelines.description.reason_text import reason_text
from pipelines.report.answers import Answers
from pipelines.report.drawing import SIGNS
from pipelines.report.elements import (
    Cell,
    Heading,
    Paragraph,
    Picture,
    Pictures,
    Section,
    Table,
    listed,
    number,
    percent,
    shown,
)
from pipelines.report.one_user import EncoderAttention, WalkThrough
from pipelines.report.opened_run import OpenedRun
from pipelines.report.pictures import lanes
from pipelines.report.result_sections import title_of

_NEWEST = 15  # events that are shown without unfolding


def user_section(run: OpenedRun, answers: Answers, walk: WalkThrough, chosen: bool) -> Section:
    """Builds the section with history, attention and answer of one test user.

    Args:
        run: the run.
        answers: of the test questions, for the baselines' ranks.
        walk: the user's walk-through.
        chosen: whether `--user` names the user.
    """
    names = [shown(name) for name in run.behavior_names]
    blocks = [Paragraph(_introduction(run, walk, chosen))]
    if walk.attention:
        blocks.append(Heading("What the encoders attend to"))
        pictures = [
            _attention_picture(walk, encoder, place, names)
            for place, encoder in enumerate(walk.attention)
        ]
        blocks.append(Pictures(pictures))
    blocks.append(Heading("History, the newest event first"))
    blocks += _history_tables(run, walk, names)
    blocks.append(Heading(f"The items that {run.model_name} ranks first"))
    blocks += [_top_table(run, walk, names), Paragraph(_outcome(run, answers, walk))]
    return Section("user", f"One user: {shown(run.dataset.users[walk.user])}", blocks)


def _introduction(run, walk, chosen):
    how = (
        "Named by --user." if chosen else "Chosen at random among test users with many behaviours."
    )
    counts = np.bincount(walk.behavior_ids, minlength=len(run.behavior_names) + 1)[1:]
    kinds = [
        f"{count} {shown(name)}"
        for name, count in zip(run.behavior_names, counts, strict=True)
        if count
    ]
    before = f", but not {counted(walk.before, 'earlier event')}" if walk.before else ""
    events = counted(len(walk.item_ids), "event")
    return f"{how} The model sees {events} ({listed(kinds)}){before}."


def _attention_picture(walk, encoder, place, names):
    ago = len(walk.item_ids) - 1 - np.arange(len(walk.item_ids))
    strongest = max(float(encoder.weights.max()), 1e-9)
    own = {name: walk.behavior_ids == b for b, name in enumerate(names, start=1)}
    rows = [
        (name, ago[where], encoder.weights[where] / strongest, series)
        for series, (name, where) in enumerate(own.items())
    ]
    title = f"Attention, {encoder.title}"
    sentence = _attention_sentence(walk, encoder, names, ago)
    svg = lanes(f"attention-{place}", (title, sentence), rows, len(walk.item_ids))
    cells = [
        [
            f"{ago[e]} events ago",
            names[walk.behavior_ids[e] - 1],
            number(float(encoder.weights[e]), 4),
        ]
        for e in range(len(walk.item_ids) - 1, -1, -1)
    ]
    return Picture(title, svg, sentence, Table(title, ["event", "behaviour", "weight"], cells))


def _attention_sentence(walk, encoder: EncoderAttention, names, ago):
    top = int(encoder.weights.argmax())
    where = (
        "itself"
        if ago[top] == 0
        else f"the {names[walk.behavior_ids[top] - 1]} {ago[top]} events before"
    )
    if not encoder.by_behavior:
        shares = {
            name: float(encoder.weights[walk.behavior_ids == b].sum())
            for b, name in enumerate(names, start=1)
        }
        parts = [f"{name} {percent(share)}" for name, share in shares.items() if share]
        return (
            f"The newest event attends most to {where} "
            f"({percent(float(encoder.weights[top]))}); by behaviour, its attention is "
            f"{listed(parts)}."
        )
    # The effective number of events: as many of equal weight have the same entropy.
    spreads = []
    for b, name in enumerate(names, start=1):
        weights = encoder.weights[walk.behavior_ids == b]
        if len(weights):
            even = np.exp(-np.sum(weights * np.log(np.maximum(weights, 1e-30))))
            spreads.append(f"{name} {even:.1f} of {len(weights)}")
    return (
        "Each lane is the encoder of one behaviour, seen from that behaviour's newest event. Its "
        f"attention is spread as if over this many events of equal weight: {listed(spreads)}."
    )


def _history_tables(run, walk, names):
    columns = ["events ago", "behaviour", "item"]
    columns += [f"attention, {encoder.title}" for encoder in walk.attention]
    columns += ["done to it so far"] if walk.counts is not None else []
    rows = []
    for event in range(len(walk.item_ids) - 1, -1, -1):
        behavior = walk.behavior_ids[event] - 1
        sign = SIGNS[behavior % len(SIGNS)]
        row = [str(len(walk.item_ids) - 1 - event), f"{sign} {names[behavior]}"]
        row.append(shown(run.dataset.items[walk.item_ids[event] - 1]))
        for encoder in walk.attention:
            weight = float(encoder.weights[event])
            bar = weight / max(float(encoder.weights.max()), 1e-9)
            row.append(Cell(percent(weight), bar=bar))
        if walk.counts is not None:
            row.append(_counts_text(walk.counts[event], names))
        rows.append(row)
    caption = "What the model saw"
    if walk.counts is not None:
        caption += "; the counts are the historical behaviour indicators, with the event itself"
    tables = [Table(caption, columns, rows[:_NEWEST], words=True)]
    if len(rows) > _NEWEST:
        older = f"The {counted(len(rows) - _NEWEST, 'event')} before these"
        tables.append(Table(older, columns, rows[_NEWEST:], words=True, folded=True))
    return tables


def _counts_text(counts, names):
    parts = [f"{int(count)} {name}" for count, name in zip(counts, names, strict=True) if count]
    return ", ".join(parts) or "nothing"


def _top_table(run, walk, names):
    scores = np.array([score for _, _, score, _ in walk.top])
    low, high = scores.min(), scores.max()
    columns = [
        "place",
        "item",
        *(["done to it before"] if walk.counts is not None else []),
        *(["why"] if walk.reasons is not None else []),
        "score",
    ]
    rows = []
    for row_number, (place, item, score, counts) in enumerate(walk.top):
        right = item == walk.answer
        row = [
            f"{place:,}",
            Cell(
                shown(run.dataset.items[item - 1]), strong=right, note="the answer" if right else ""
            ),
        ]
        if counts is not None:
            row.append(_counts_text(counts, names))
        if walk.reasons is not None:
            row.append(reason_text(walk.reasons[row_number]))
        bar = float((score - low) / (high - low)) if high > low else 1.0
        row.append(Cell(number(score, 3), bar=0.04 + 0.96 * bar, strong=right))
        rows.append(row)
    caption = f"{title_of(walk.protocol).capitalize()}"
    caption += "; scores are logits, and bars range from the last item to the first"
    return Table(caption, columns, rows, words=True)


def _outcome(run, answers, walk):
    item = shown(run.dataset.items[walk.answer - 1])
    known = "had touched it before" if answers.seen[walk.question] else "had never touched it"
    target = shown(run.dataset.behaviors.target)
    text = f"The next {target} event is on {item}; the user {known}. "
    if walk.rank is None:
        return text + f"Under {title_of(walk.protocol)}, the question is therefore not asked."
    others = [
        f"{scorer} {int(answers.ranks[scorer][walk.protocol].ranks[walk.question]) + 1:,}"
        for scorer in answers.scorers[1:]
    ]
    return text + (
        f"{run.model_name} ranks it at place {walk.rank:,}; the baselines rank it at places: "
        f"{listed(others)}."
    )
