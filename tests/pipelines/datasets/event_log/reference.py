"""A reference for prepared logs, in plain Python, row by row."""

import collections


def shortlex(ids):
    return sorted(set(ids), key=lambda text: (len(text), text))


def prepared(rows, behaviors, min_item_count=1, min_user_events=1, keep_duplicates=False):
    """Prepares `rows`, each (user, item, behaviour, time) in file order.

    Returns:
        users, items, and for each user a list of (item id, behaviour id, integer time).
    """
    kept = list(rows) if keep_duplicates else list(dict.fromkeys(rows))
    while True:
        before = len(kept)
        of_item = collections.Counter(item for _, item, _, _ in kept)
        kept = [row for row in kept if of_item[row[1]] >= min_item_count]
        of_user = collections.Counter(user for user, _, _, _ in kept)
        kept = [row for row in kept if of_user[row[0]] >= min_user_events]
        if len(kept) == before:
            break
    users, items = shortlex(row[0] for row in kept), shortlex(row[1] for row in kept)
    histories = []
    for user in users:
        # Python's sort is stable, so equal times stay in the order of the rows.
        own = sorted((row for row in kept if row[0] == user), key=lambda row: row[3])
        histories.append(
            [
                (items.index(item) + 1, behaviors.index(behavior) + 1, int(time // 1))
                for _, item, behavior, time in own
            ]
        )
    return users, items, histories
