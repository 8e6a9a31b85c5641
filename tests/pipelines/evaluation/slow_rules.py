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


def set_of(behaviors, num_behaviors):
    """The number of a set: one bit for each of the strongest behaviours, one for all others."""
    kinds = {max(behavior - max(num_behaviors - 6, 0), 1) for behavior in behaviors}
    return sum(2 ** (kind - 1) for kind in kinds)


def target_rates(splits):
    log = splits.dataset
    count = 2 ** min(len(log.behaviors), 6)
    hits, chances = [0] * count, [0] * count
    for events in training_log(splits):
        did = {item: [] for item in range(1, log.num_items + 1)}
        for item, behavior, _ in events:
            if behavior == log.behaviors.target_id:
                hits[set_of(did[item], len(log.behaviors))] += 1
                for each in did.values():
                    chances[set_of(each, len(log.behaviors))] += 1
            did[item].append(behavior)
    rates = []
    for number, (hit, chance) in enumerate(zip(hits, chances, strict=True)):
        alike = [n for n in range(count) if n.bit_length() == number.bit_length()]
        prior = sum(hits[n] for n in alike) / max(sum(chances[n] for n in alike), 1)
        rates.append((hit + 100 * prior) / (chance + 100))
    return rates


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
    did, newest = {}, {}
    for place, (item, behavior) in enumerate(history):
        if behavior >= max(did.get(item, [0])):
            newest[item] = place
        did.setdefault(item, []).append(behavior)
    sets = {item: set_of(did[item], len(splits.dataset.behaviors)) for item in did}

    def key(item):
        own = conversion(splits, item) if by_conversion else 0
        return rates[sets[item]], sets[item], own, newest[item]

    best_first = sorted(did, key=key, reverse=True)
    back = [item for item in best_first if rates[sets[item]] > rates[0]]
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
