"""Trained under JAX, served under TensorFlow: the same model and the same scores.

A `.keras` file is independent of the backend. Keras chooses its backend when it is imported, so the
training is a separate process of this same file. On the command line: `KERAS_BACKEND=jax hmar train
... --output RUN`, then `hmar export RUN`.

    python examples/jax_to_tensorflow.py
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax" if sys.argv[1:] else "tensorflow"

import keras
import numpy as np

from hmar_keras import HMAR, HMARConfig, TrainingConfig, compile_arguments
from pipelines.datasets import load_dataset
from pipelines.evaluation.scoring import model_scorer
from pipelines.export import export
from pipelines.export.loaded_export import Recommender
from pipelines.protocol.splits import split
from pipelines.protocol.training_counts import item_popularity
from pipelines.training.host_batches import TrainingData


# %% Under JAX
# Nothing here names a backend; the batches still come from tf.data.
def train(folder):
    """Trains, and saves the model and its scores of every item after every test history."""
    keras.utils.set_random_seed(0)
    dataset = load_dataset("synthetic_shop/tiny")
    splits = split(dataset)
    model = HMAR(HMARConfig(dataset.num_items, dataset.behaviors, dim=16, max_length=16))
    # Batches of one length, because JAX compiles the step again for every length.
    training = TrainingConfig(batching="mixed", batch_size=16, epochs=3)
    model.compile(**compile_arguments(model, training))
    data = TrainingData(splits, model, training, seed=0)
    history = model.fit(
        data.dataset(),
        steps_per_epoch=data.steps_per_epoch,
        epochs=training.epochs,
        shuffle=False,
        verbose=0,
    )
    losses = history.history["loss"]
    print(f"jax: loss {losses[0]:.4f} ... {losses[-1]:.4f}", flush=True)
    model.save(folder / "hmar.keras")
    np.save(folder / "scores.npy", model_scorer(model, dataset)(splits.test))


# %% Under TensorFlow
def serve(folder):
    """Loads, compares, exports and queries; returns the largest difference of a score."""
    model = keras.saving.load_model(folder / "hmar.keras", compile=False)
    dataset = load_dataset("synthetic_shop/tiny")
    splits = split(dataset)
    # Column 0 is padding, not an item.
    scores = model_scorer(model, dataset)(splits.test)[:, 1:]
    by_jax = np.load(folder / "scores.npy")[:, 1:]
    difference = np.abs(scores - by_jax).max()
    print(f"tensorflow: {scores.size:,} scores from {scores.min():.2f} to {scores.max():.2f}")

    # %% The SavedModel
    # It answers with the catalogue's names, and with popular items if it knows no history.
    version = export(
        model, dataset.items, item_popularity(splits), folder / "shop", {"dataset": dataset.name}
    )
    recommender = Recommender(version)
    start, end = splits.test.starts[0], splits.test.ends[0]
    items = dataset.items[dataset.item_ids[start:end] - 1]
    behaviors = [dataset.behaviors.names[number - 1] for number in dataset.behavior_ids[start:end]]
    answer = recommender(list(zip(items, behaviors, strict=True)), k=5)
    print("the SavedModel recommends", ", ".join(item for item, _ in answer))
    for item, score in answer:
        column = dataset.items.tolist().index(item)
        difference = max(difference, abs(score - by_jax[0, column]))
    return difference


def main():
    """Starts this file again under JAX, then continues under TensorFlow."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, __file__, folder], check=True)
        difference = serve(Path(folder))
    assert difference < 1e-4
    print(f"largest difference of a score: {difference:.1e}")


if __name__ == "__main__":
    train(Path(sys.argv[1])) if sys.argv[1:] else main()
