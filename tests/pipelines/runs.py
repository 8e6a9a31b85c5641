"""What tests look at in the directory of a run."""

import h5py


def without_times(run):
    """The history of a `RunDirectory`, without what differs every time."""
    return [{name: value for name, value in e.items() if name != "seconds"} for e in run.history()]


def last_state(run):
    """Everything in the last checkpoint: weights and the optimiser's state."""
    arrays = {}

    def keep(name, node):
        if isinstance(node, h5py.Dataset):
            arrays[name] = node[()]

    with h5py.File(run.checkpoint(len(run.history()))) as file:
        file.visititems(keep)
    return arrays
