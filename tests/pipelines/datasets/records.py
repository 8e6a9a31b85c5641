"""Prepared records with the names of the log that they come from."""


def events_of(dataset):
    """Returns every event in the order of the records: user, item, behaviour, time."""
    return [
        (
            str(dataset.users[row]),
            str(dataset.items[dataset.item_ids[event] - 1]),
            dataset.behaviors.names[dataset.behavior_ids[event] - 1],
            int(dataset.timestamps[event]),
        )
        for row in range(dataset.num_users)
        for event in range(dataset.offsets[row], dataset.offsets[row + 1])
    ]
