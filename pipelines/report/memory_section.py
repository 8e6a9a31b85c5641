"""The section about the learned weights of a memory."""

from __future__ import annotations

import numpy as np

from hmar_keras.layers.memory_parts import MemoryWeights, memory_weights
from hmar_keras.reasons import has_reasons
from hmar_keras.schema import behavior_bits
from pipelines.description.numbers import counted
from pipelines.report.elements import (
    Cell,
    Heading,
    Paragraph,
    Picture,
    Pictures,
    Section,
    Table,
    number,
    shown,
)
from pipelines.report.opened_run import OpenedRun
from pipelines.report.pictures import lines

_FIRST = 15  # sets that are shown without unfolding


def memory_section(run: OpenedRun) -> Section | None:
    """Builds the section about the memory of the log; None if the model has none."""
    if not has_reasons(run.model):
        return None
    weights, names = memory_weights(run.model.memory), [shown(name) for name in run.behavior_names]
    target = shown(run.dataset.behaviors.target)
    text = (
        "The memory alone scores the items that the user has touched. To the scores of the others "
        "it adds their popularity and what they share with the items of the history; the network's "
        f"scores count {number(weights.gate, 3)} times. All of this is for the next {target}."
    )
    how = (
        "The score of a touched item depends first on the set of behaviours that it received: the "
        "score of the set, plus the slope times the item's conversion, from -1 to 1, plus how "
        "recent these events are."
    )
    blocks = [Paragraph(text), Pictures([_ages_picture(weights, names)])]
    blocks += [Heading("What was done to an item"), Paragraph(how), *_set_tables(weights, names)]
    return Section("memory", "The memory of the log", blocks)


def _ages_picture(weights: MemoryWeights, names):
    """Draws what an event adds to y for w = 1, at the ages 0, 1, 3, 7 and so on."""
    length = weights.shared.shape[1]
    ages = [2**n - 1 for n in range(length.bit_length()) if 2**n <= length]
    added = (weights.shared + weights.root)[:, ages]
    curves = {
        name: (range(len(ages)), row.tolist()) for name, row in zip(names, added, strict=True)
    }
    first = int(added[:, 0].argmax())
    newest, oldest = (number(float(added[first, place]), 2) for place in (0, -1))
    sentence = (
        f"The newest event counts most if it is of {names[first]}: {newest}; when it is "
        f"{counted(ages[-1], 'event')} old, it counts {oldest}. This is for items that share many "
        "sessions, w = 1."
    )
    title, label = "How much an event says about other items", "events before the newest"
    ticks = [str(age) for age in ages]
    svg = lines("ages", (title, sentence), curves, label, ticks, bottom=min(0, added.min()))
    rows = [
        [tick, *(number(float(value), 3) for value in column)]
        for tick, column in zip(ticks, added.T, strict=True)
    ]
    return Picture(title, svg, sentence, Table(title, [label, *names], rows))


def _set_tables(weights: MemoryWeights, names):
    order = 1 + np.argsort(-weights.sets[1:], kind="stable")
    low, high = weights.sets[order].min(), weights.sets[order].max()
    rows = []
    for index in order.tolist():
        bar = float((weights.sets[index] - low) / (high - low)) if high > low else 1.0
        score = Cell(number(float(weights.sets[index]), 3), bar=0.04 + 0.96 * bar)
        rows.append([_set_name(index, names), score, number(float(weights.slopes[index]), 3)])
    columns = ["set of behaviours", "score", "slope"]
    tables = [Table("Sets of behaviours, the highest score first", columns, rows[:_FIRST])]
    if len(rows) > _FIRST:
        tables.append(Table("The other sets", columns, rows[_FIRST:], folded=True))
    return tables


def _set_name(index, names):
    """Returns the behaviours in a set; weak ones that share a bit are alternatives."""
    by_bit = {}
    for name, bit in zip(names, behavior_bits(len(names))[1:], strict=True):
        by_bit.setdefault(bit, []).append(name)
    return " + ".join(" or ".join(each) for bit, each in by_bit.items() if index & bit)
