"""One test user: the history that the model reads, its attention and its answer."""

from __future__ import annotations

import dataclasses

import numpy as np
from keras import ops

from hmar_keras.inspection import attending_layers, recorded_attention
from hmar_keras.layers import BehaviorEncoder, HistoricalBehaviorIndicators
from hmar_keras.reasons import KINDS, has_reasons, reasons
from hmar_keras.schema import BEHAVIOR_IDS, ITEM_IDS
from pipelines.description.reason_text import Reason
from pipelines.evaluation.evaluator import FULL, FULL_UNSEEN, model_scorer
from pipelines.report.elements import shown
from pipelines.report.opened_run import OpenedRun
from pipelines.runtime.errors import InputError

TOP = 10


@dataclasses.dataclass(frozen=True)
class EncoderAttention:
    """The attention of one encoder, from the newest event.

    Args:
        title: e.g. `"sequence encoder"`.
        by_behavior: whether it consists of one encoder per behaviour; the weights of each
            behaviour's events are then those of that behaviour's newest event and add up to 1.
        weights: float32 [events], oldest first, the mean over the heads.
    """

    title: str
    by_behavior: bool
    weights: np.ndarray


@dataclasses.dataclass(frozen=True)
class WalkThrough:
    """A test question and its answer, in full detail.

    Args:
        question: its row among the test questions.
        user: row of the user in the dataset.
        item_ids: int [events], the items that the model reads, oldest first.
        behavior_ids: int [events].
        before: number of earlier events, which the model does not read.
        counts: float [events, K], the indicators of each event; None if the model has none.
        attention: of each encoder with attention, in order.
        answer: id of the held-out item.
        top: (place, item id, score, indicators or None) of the best items, and of the answer if
            it is not one of them.
        reasons: what speaks most for each of `top`; None if the model has no memory.
        rank: place of the answer, from 1, under `protocol`; None if that does not ask it.
        protocol: the protocol that `top` and `rank` follow.
    """

    question: int
    user: int
    item_ids: np.ndarray
    behavior_ids: np.ndarray
    before: int
    counts: np.ndarray | None
    attention: list[EncoderAttention]
    answer: int
    top: list[tuple[int, int, float, np.ndarray | None]]
    reasons: list[Reason] | None
    rank: int | None
    protocol: str


def find_question(run: OpenedRun, user: str) -> int:
    """Finds the test question of a user, given by the log's id.

    Raises:
        InputError: if there is no such user, or the user has no test question.
    """
    rows = np.flatnonzero(run.dataset.users == user)
    if not len(rows):
        raise InputError(f"{run.dataset.name} has no user {shown(user)!r}; give an id of the log.")
    questions = np.flatnonzero(run.splits.test.users == rows[0])
    if not len(questions):
        raise InputError(
            f"the user {shown(user)!r} has no test question because of too few "
            f"{run.dataset.behaviors.target!r} events; choose another --user."
        )
    return int(questions[0])


def choose_question(run: OpenedRun) -> int:
    """Chooses a question whose history, as the model reads it, has the most behaviours.

    The seed picks one of the longer half of these histories; the answer plays no part.
    """
    behavior_ids = run.histories(run.splits.test)[BEHAVIOR_IDS]
    count = len(run.behavior_names)
    kinds = sum((behavior_ids == b).any(axis=1).astype(int) for b in range(1, count + 1))
    lengths = np.count_nonzero(behavior_ids, axis=1)
    varied = np.flatnonzero(kinds == kinds.max())
    long = varied[lengths[varied] >= np.median(lengths[varied])]
    return int(np.random.default_rng(run.seed).choice(long))


def walk_through(run: OpenedRun, question: int) -> WalkThrough:
    """Follows one test question through the model.

    Args:
        run: the run.
        question: row among the test questions.

    Raises:
        InputError: if the model reads no event of the user.
    """
    asked = run.splits.test.take(slice(question, question + 1))
    read = run.histories(asked)
    first = int(np.count_nonzero(read[ITEM_IDS] == 0))
    features = {name: each if each.ndim == 1 else each[:, first:] for name, each in read.items()}
    item_ids, behavior_ids = features[ITEM_IDS][0], features[BEHAVIOR_IDS][0]
    if not len(item_ids):
        name = shown(run.dataset.users[asked.users[0]])
        raise InputError(f"the model sees no event of {name!r}; choose another --user.")
    protocol = FULL if run.dataset.repeats else FULL_UNSEEN
    top, rank = _top(run, asked, item_ids, behavior_ids, protocol)
    counts = None
    if run.counts_behaviors:
        counts = _counts(run, item_ids[None], behavior_ids[None])[0]
    return WalkThrough(
        question,
        user=int(asked.users[0]),
        item_ids=item_ids,
        behavior_ids=behavior_ids,
        before=int(asked.ends[0] - asked.starts[0]) - len(item_ids),
        counts=counts,
        attention=newest_attention(run, features),
        answer=int(asked.positives[0]),
        top=top,
        reasons=top_reasons(run, features, [item for _, item, _, _ in top]),
        rank=rank,
        protocol=protocol,
    )


def top_reasons(run: OpenedRun, features: dict, items: list[int]) -> list[Reason] | None:
    """Returns what speaks most for some items, with names to be shown, or None without a memory.

    Args:
        run: the run.
        features: the model's features of a history, by name, `[1, events]`, without padding.
        items: their ids.
    """
    if not has_reasons(run.model):
        return None
    found = reasons(run.model, features, np.array([items], np.int32))
    kinds, events = (ops.convert_to_numpy(each)[0] for each in (found.kinds, found.events))
    item_ids, behavior_ids = features[ITEM_IDS][0], features[BEHAVIOR_IDS][0]
    names = [shown(name) for name in run.behavior_names]

    def reason(item, kind, event):
        counts = np.bincount(behavior_ids[item_ids == item], minlength=len(names) + 1)[1:]
        counts = list(zip(names, counts.tolist(), strict=True))
        if event < 0:
            return Reason(KINDS[kind])
        name = shown(run.dataset.items[item_ids[event] - 1])
        ago = len(item_ids) - 1 - event
        return Reason(KINDS[kind], name, names[behavior_ids[event] - 1], ago, counts)

    return [reason(*each) for each in zip(items, kinds.tolist(), events.tolist(), strict=True)]


def newest_attention(run: OpenedRun, features: dict) -> list[EncoderAttention]:
    """Returns the attention of every encoder for one history.

    Args:
        run: the run.
        features: the model's features of the history, by name, `[1, events]`, without padding.
    """
    owners = attending_layers(run.model)
    with recorded_attention([owner.attention for owner in owners]) as calls:
        run.model.score_candidates(features, features[ITEM_IDS][:, -1:])  # any candidate is fine
    results = []
    for path, call in calls.items():
        owner = next(owner for owner in owners if owner.attention.path == path)
        weights = ops.convert_to_numpy(call.newest())[0]
        by_behavior = isinstance(owner, BehaviorEncoder)
        results.append(EncoderAttention(_title(owner, owners), by_behavior, weights))
    return results


def _title(owner, owners):
    alike = [other for other in owners if type(other) is type(owner)]
    kind = "behaviour encoders" if isinstance(owner, BehaviorEncoder) else "sequence encoder"
    return kind if len(alike) == 1 else f"{kind}, block {alike.index(owner) + 1}"


def _top(run, asked, item_ids, behavior_ids, protocol):
    """Returns the best items and the answer with their indicators, and the answer's rank."""
    scores = model_scorer(run.model, run.dataset)(asked)[0].astype(np.float64)
    allowed = np.isfinite(scores)
    allowed[0] = False
    seen = run.dataset.item_ids[asked.starts[0] : asked.ends[0]]
    if protocol == FULL_UNSEEN:
        allowed[seen] = False
    answer = int(asked.positives[0])
    rank = None
    if allowed[answer]:
        # On a tie the answer ranks last, as in `evaluation`.
        rank = int(np.count_nonzero(scores[allowed] >= scores[answer]))
    items = np.flatnonzero(allowed)
    tie_break = items == answer
    best = items[np.lexsort((items, tie_break, -scores[items]))][:TOP]
    places = [*range(1, len(best) + 1)]
    if rank is not None and rank > len(best):
        best, places = np.append(best, answer), [*places, rank]
    counts = [None] * len(best)
    if run.counts_behaviors:
        candidates = best[None, None].astype(np.int32)
        counts = _counts(run, item_ids[None], behavior_ids[None], candidates)[0, 0]
    scores = scores[best].tolist()
    return list(zip(places, best.tolist(), scores, counts, strict=True)), rank


def _counts(run, *ids):
    layer = HistoricalBehaviorIndicators(len(run.behavior_names))
    return ops.convert_to_numpy(layer(*(ops.convert_to_tensor(array) for array in ids)))
