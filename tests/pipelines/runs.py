"""Helpers that inspect the directory of a run."""

import json
import signal
import subprocess
import time

import h5py


def without_times(run):
    """Returns the history of a `RunDirectory` without the values that differ every time."""
    return [{name: value for name, value in e.items() if name != "seconds"} for e in run.history()]


def last_state(run):
    """Returns everything in the last checkpoint: weights and the optimiser's state."""
    arrays = {}

    def keep(name, node):
        if isinstance(node, h5py.Dataset):
            arrays[name] = node[()]

    with h5py.File(run.checkpoint(len(run.history()))) as file:
        file.visititems(keep)
    return arrays


def kill_after(epochs, history, command, **options):
    """Starts a command and kills it with SIGKILL after a number of finished epochs.

    Args:
        epochs: the number of epochs that `history` must contain.
        history: path of the `history.json`.
        command: the command's words.
        **options: options of `subprocess.Popen`.
    """
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **options)
    while not history.exists() or len(json.loads(history.read_text())) < epochs:
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
