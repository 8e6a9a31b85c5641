"""Sections about the results: metrics, curves and groups of questions."""

from __future__ import annotations

import numpy as np

from pipelines.description.numbers import counted
from pipelines.evaluation.evaluator import CUTOFFS
from pipelines.report.answers import METRICS, MOST_CUTOFF, Answers, Estimate, length_groups
from pipelines.report.elements import (
    Cell,
    Heading,
    Paragraph,
    Picture,
    Pictures,
    Section,
    Table,
    Tiles,
    listed,
    number,
    percent,
)
from pipelines.report.pictures import Interval, intervals, lines

PROTOCOLS = {
    "sampled": ("sampled negatives", "the answer among random items the user has not touched"),
    "sampled_popular": (
        "popular negatives",
        "the answer among items drawn by popularity that the user has not touched",
    ),
    "full": ("full catalogue", "the answer among all items"),
    "full_unseen": (
        "new items",
        "the answer among items the user has not touched, only for questions where it is new",
    ),
    "full_returnable": (
        "can return",
        "the answer among all items but the user's touched ones that never come back in this log, "
        "such as bought ones where nobody buys twice",
    ),
}
_LISTED_CUTOFFS = (1, 2, 3, 5, 10, 20, 30, 40, 50)


def title_of(protocol: str) -> str:
    """Returns the name of a protocol on the page."""
    return PROTOCOLS.get(protocol, (protocol, ""))[0]


def interval_text(estimate: Estimate, digits: int = 3) -> str:
    """Formats an interval, e.g. `0.491 to 0.535`."""
    return f"{number(estimate.low, digits)} to {number(estimate.high, digits)}"


def metric_name(metric: str, cutoff: int) -> str:
    """Formats the name of a metric, e.g. `HR@10`."""
    return f"{metric.upper()}@{cutoff}"


class Results:
    """All estimates of one part, computed once.

    Args:
        answers: the part's answers.
    """

    def __init__(self, answers: Answers):
        self.answers = answers
        self.by_protocol = {name: answers.estimates(name) for name in answers.protocols}

    def lead(self, protocol: str, metric: str = "hr@10") -> tuple[str, Estimate]:
        """Returns the best baseline and the model's lead over it."""
        estimates = self.by_protocol[protocol]
        best = estimates.best(self.answers.scorers[1:], metric)
        return best, estimates.difference(self.answers.model, best, metric)


def headline(results: Results) -> list:
    """Builds the summary: a few numbers, and a sentence per protocol."""
    answers, tiles = results.answers, []
    for protocol, estimates in results.by_protocol.items():
        hits = estimates.of(answers.model, "hr@10")
        best, lead = results.lead(protocol)
        note = f"HR@10; best baseline, “{best}”: {number(hits.mean - lead.mean, 3)}"
        tiles.append((number(hits.mean, 3), title_of(protocol), note))
    return [Tiles(tiles), *map(Paragraph, map(_verdict(results), results.by_protocol))]


def _verdict(results):
    def sentence(protocol):
        answers, estimates = results.answers, results.by_protocol[protocol]
        hits = estimates.of(answers.model, "hr@10")
        best, lead = results.lead(protocol)
        if lead.low > 0:
            relation = f"more often than the best baseline, “{best}”"
        elif lead.high < 0:
            relation = f"less often than the best baseline, “{best}”"
        else:
            relation = f"not clearly more or less often than the best baseline, “{best}”"
        return (
            f"{title_of(protocol).capitalize()}: {answers.model} has the answer in its top ten "
            f"for {percent(hits.mean)} of {counted(estimates.questions, 'test question')}, "
            f"{relation} (difference {lead.mean:+.3f}, {lead.low:+.3f} to {lead.high:+.3f})."
        )

    return sentence


def results_section(parts: dict[str, Results]) -> Section:
    """Builds the section with HR and NDCG of all scorers at all cut-offs, with intervals."""
    test = parts["test"]
    pictures = [_results_picture(test, metric) for metric in METRICS]
    meaning = "; ".join(
        f"{title_of(name)}: {PROTOCOLS[name][1]}"
        for name in test.answers.protocols
        if name in PROTOCOLS
    )
    text = (
        f"HR@k is the share of questions whose answer is in the top k; NDCG@k gives more credit to "
        f"a higher rank. {meaning[:1].upper()}{meaning[1:]}. Intervals are 95 % "
        "percentile bootstrap intervals over the questions."
    )
    blocks = [Pictures(pictures), Paragraph(text)]
    for part, results in reversed(parts.items()):
        blocks.append(Heading(f"All numbers, {part}"))
        blocks += [_results_table(part, results, name) for name in results.by_protocol]
    return Section("results", "Results", blocks)


def _results_table(part, results, protocol):
    answers, estimates = results.answers, results.by_protocol[protocol]
    names = [(metric, cutoff) for metric in METRICS for cutoff in CUTOFFS]
    best = {n: estimates.best(answers.scorers, f"{n[0]}@{n[1]}") for n in names}
    rows = []
    for scorer in answers.scorers:
        row = [scorer]
        for metric, cutoff in names:
            estimate = estimates.of(scorer, f"{metric}@{cutoff}")
            strong = best[metric, cutoff] == scorer
            row.append(Cell(number(estimate.mean), strong=strong, note=interval_text(estimate)))
        rows.append(row)
    caption = (
        f"{title_of(protocol).capitalize()}, {part}: {counted(estimates.questions, 'question')}, "
        f"{answers.candidates(protocol):,.0f} candidates each; the best of each column is bold"
    )
    columns = ["", *(metric_name(*name) for name in names)]
    return Table(caption, columns, rows, folded=part != "test")


def _results_picture(results, metric):
    answers, rows, cells = results.answers, [], []
    name = f"{metric}@10"
    for protocol, estimates in results.by_protocol.items():
        for series, scorer in enumerate(answers.scorers):
            estimate = estimates.of(scorer, name)
            bounds = (estimate.mean, estimate.low, estimate.high)
            rows.append(Interval(scorer, *bounds, series, title_of(protocol)))
            values = [number(estimate.mean), interval_text(estimate)]
            cells.append([f"{title_of(protocol)}, {scorer}", *values])
    ahead = [p for p in results.by_protocol if results.lead(p, name)[1].low > 0]
    behind = [p for p in results.by_protocol if results.lead(p, name)[1].high < 0]
    parts = []
    for where, relation in ((ahead, "above"), (behind, "below")):
        if where:
            parts.append(f"{relation} every baseline under {listed([title_of(p) for p in where])}")
    if behind:
        parts[-1] = parts[-1].replace("every baseline", "the best baseline")
    undecided = [p for p in results.by_protocol if p not in ahead + behind]
    if undecided:
        where = listed([title_of(p) for p in undecided])
        parts.append(f"not clearly different from the best baseline under {where}")
    title = f"{name.upper()} on test"
    sentence = f"By {name.upper()}, {answers.model} is {'; '.join(parts)}."
    svg = intervals(
        f"results-{metric}", (title, sentence), rows, f"{name.upper()} and 95 % interval"
    )
    return Picture(title, svg, sentence, Table(title, ["", name.upper(), "95 %"], cells))


def curves_section(answers: Answers) -> Section:
    """Builds the section with HR@k and NDCG@k for k up to 50."""
    pictures = [
        _curve_picture(answers, protocol, metric)
        for protocol in answers.protocols
        for metric in METRICS
    ]
    return Section(
        "cutoffs", f"By length of the list, k = 1 to {MOST_CUTOFF}", [Pictures(pictures)]
    )


def _curve_picture(answers, protocol, metric):
    curves = {s: answers.curve(s, protocol, metric) for s in answers.scorers}
    size = round(answers.candidates(protocol))
    last = min(MOST_CUTOFF, size)
    k = np.arange(1, last + 1)
    model = curves[answers.model]
    best = max(answers.scorers[1:], key=lambda scorer: curves[scorer][last - 1])
    above = np.all([model[:last] >= curves[s][:last] for s in answers.scorers[1:]], axis=0)
    name = metric.upper()
    title = f"{name}@k, {title_of(protocol)}"
    sentence = (
        f"{answers.model} rises from {number(model[0], 3)} at k = 1 to "
        f"{number(model[last - 1], 3)} at k = {last}, where the best baseline, {best}, has "
        f"{number(curves[best][last - 1], 3)}; "
        f"it matches or beats every baseline at {int(above.sum())} of {last} list lengths."
    )
    rows = [
        [f"k = {c}", *(number(curves[s][c - 1]) for s in answers.scorers)]
        for c in _LISTED_CUTOFFS
        if c <= last
    ]
    svg = lines(
        f"cutoffs-{protocol}-{metric}".replace("_", "-"), (title, sentence),
        {s: (k, curve[:last]) for s, curve in curves.items()}, "k, length of the list", bottom=0,
    )  # fmt: skip
    return Picture(title, svg, sentence, Table(title, ["", *answers.scorers], rows))


def groups_section(answers: Answers) -> Section:
    """Builds the section with results by length of the history and by kind of answer."""
    groups = length_groups(answers.lengths)
    blocks = [Heading("By length of the history")]
    pictures = (
        [_length_picture(answers, groups, p) for p in answers.protocols] if len(groups) > 1 else []
    )
    blocks.append(Pictures(pictures) if pictures else Paragraph("All histories are equally long."))
    blocks.append(Heading("By whether the user had touched the answer before"))
    share = float(answers.seen.mean())
    text = f"The user had touched the answer before in {percent(share)} of the questions."
    if 0 < share < 1:
        both = [p for p in answers.protocols if answers.seen[answers.asked(p)].any()]
        blocks += [Paragraph(text), Pictures([_seen_picture(answers, p) for p in both])]
    else:
        blocks.append(Paragraph(f"{text} There is nothing to compare."))
    return Section("groups", "Results by group of questions", blocks)


def _length_picture(answers, groups, protocol):
    estimates = {name: answers.estimates(protocol, where) for name, where in groups.items()}
    estimates = {name: each for name, each in estimates.items() if each.questions}
    x = np.arange(len(estimates))
    found = {s: [e.of(s, "hr@10") for e in estimates.values()] for s in answers.scorers}
    model = found[answers.model]
    band = {answers.model: ([e.low for e in model], [e.high for e in model])}
    title = f"HR@10 by events in the history, {title_of(protocol)}"
    names = list(estimates)
    highest = int(np.argmax([e.mean for e in model]))
    lowest = int(np.argmin([e.mean for e in model]))
    sentence = (
        f"{answers.model} is best after {names[highest]} events "
        f"({number(model[highest].mean, 3)}) and worst after {names[lowest]} "
        f"({number(model[lowest].mean, 3)}); the band is its 95 % interval."
    )
    rows = []
    for row, (name, each) in enumerate(estimates.items()):
        values = [Cell(number(f[row].mean), note=interval_text(f[row])) for f in found.values()]
        rows.append([f"{name} events", f"{each.questions:,}", *values])
    svg = lines(
        f"length-{protocol}".replace("_", "-"), (title, sentence),
        {s: (x, [e.mean for e in found[s]]) for s in answers.scorers},
        "events in the history", ticks=names, bottom=0, bands=band,
    )  # fmt: skip
    return Picture(title, svg, sentence, Table(title, ["", "questions", *answers.scorers], rows))


def _seen_picture(answers, protocol):
    kinds = {"touched before": answers.seen, "new to the user": ~answers.seen}
    estimates = {name: answers.estimates(protocol, where) for name, where in kinds.items()}
    rows, cells = [], []
    for name, each in estimates.items():
        group = f"{name} ({counted(each.questions, 'question')})"
        for series, scorer in enumerate(answers.scorers if each.questions else ()):
            estimate = each.of(scorer, "hr@10")
            bounds = (estimate.mean, estimate.low, estimate.high)
            rows.append(Interval(scorer, *bounds, series, group))
            cells.append([f"{group}, {scorer}", number(estimate.mean), interval_text(estimate)])
    title = f"HR@10 by kind of answer, {title_of(protocol)}"
    means = [each.of(answers.model, "hr@10").mean for each in estimates.values()]
    sentence = (
        f"{answers.model} finds {percent(means[0])} of the answers that the user had touched "
        f"before and {percent(means[1])} of those that are new."
    )
    name = f"seen-{protocol}".replace("_", "-")
    svg = intervals(name, (title, sentence), rows, "HR@10 and 95 % interval")
    return Picture(title, svg, sentence, Table(title, ["", "HR@10", "95 %"], cells))
