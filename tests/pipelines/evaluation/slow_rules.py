"""The rules of `pipelines.evaluation`, written out as loops over users and sessions."""

import numpy as np


def training_log(splits):
    """Each user's training events, oldest first: (item, behaviour, time)."""
    log = splits.dataset
    return [
        [
            (int(log.item_ids[event]), int(log.behavior_ids[event]), int(log.timestamps[event]))
            for event in range(splits.train_starts[user], splits.train_ends[user])
        ]
        for user in range(log.num_users)
    ]


def history_of(splits, questions, row):
    """The items and behaviours of a question's history, oldest first."""
    log = splits.dataset
    events = range(questions.starts[row], questions.ends[row])
    return [(int(log.item_ids[event]), int(log.behavior_ids[event])) for event in events]


def target_rates(splits):
    log = splits.dataset
    hits, chances = [0] * (len(log.behaviors) + 1), [0] * (len(log.behaviors) + 1)
    for events in training_log(splits):
        strongest = dict.fromkeys(range(1, log.num_items + 1), 0)
        for item, behavior, _ in events:
            if behavior == log.behaviors.target_id:
                hits[strongest[item]] += 1
                for each in strongest.values():
                    chances[each] += 1
            strongest[item] = max(strongest[item], behavior)
    return [hit / max(chance, 1) for hit, chance in zip(hits, chances, strict=True)]


def conversion(splits, item):
    target = splits.dataset.behaviors.target_id
    did = [{(i, b) for i, b, _ in events} for events in training_log(splits)]
    bought = sum((item, target) in each for each in did)
    viewed = sum((item, 1) in each for each in did)
    return (bought + 0.5) / (viewed + 20)


def touched_order(splits, questions, row, by_conversion):
    """The touched items that come back, best first, and those that do not."""
    rates = target_rates(splits)
    history = history_of(splits, questions, row)
    strongest, newest = {}, {}
    for place, (item, behavior) in enumerate(history):
        if behavior >= strongest.get(item, 0):
            strongest[item], newest[item] = behavior, place

    def key(item):
        behavior = strongest[item]
        own = conversion(splits, item) if by_conversion else 0
        return rates[behavior], behavior, own, newest[item]

    best_first = sorted(strongest, key=key, reverse=True)
    back = [item for item in best_first if rates[strongest[item]] > rates[0]]
    return back, best_first[len(back) :]


def cooccurrence(splits, width):
    """`[j, i]`: what item j of a history adds to the score of item i."""
    size = splits.dataset.num_items + 1
    sessions, users = [], [0] * size
    for events in training_log(splits):
        items = {item for item, _, _ in events}
        sessions.append(items)
        for item in items:
            users[item] += 1
        buckets = {}
        for item, _, time in events if width else []:
            buckets.setdefault(time // width, set()).add(item)
        sessions += buckets.values()
    terms = np.zeros((size, size))
    for session in sessions:
        for j in session:
            for i in session - {j}:
                terms[j, i] += 1 / len(session) / users[j] ** 0.7 / users[i] ** 0.3
    return terms
