"""What tests look at in the directory of a run."""

import json
import signal
import subprocess
import time

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


def kill_after(epochs, history, command, **options):
    """Starts a command and kills it with SIGKILL once so many epochs are in a `history.json`.

    Args:
        epochs: that have been finished.
        history: path of the file.
        command: words.
        **options: as of `subprocess.Popen`.
    """
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **options)
    while not history.exists() or len(json.loads(history.read_text())) < epochs:
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
