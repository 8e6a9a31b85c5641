"""A custom model, from `hmar train` to `hmar export`.

GRU4Rec (B. Hidasi et al., "Session-based recommendations with recurrent neural networks", ICLR
2016) reads a user's events one by one. Built from this package's layers, it also knows the user's
earlier behaviours on every item, both on those that it reads and on those that it scores.

    python examples/own_model.py
"""

import json
import subprocess
import tempfile
from pathlib import Path

import keras

from hmar_keras import SequentialRecommender, register_model
from hmar_keras.layers import Dropout, HistoricalBehaviorIndicators, ItemBehaviorEmbedding
from hmar_keras.models import recommender_inputs


# %% The model
# All it takes is a constructor that builds a functional graph with the output `ranking`. Its
# settings are those of `hmar_keras.NextItemConfig`, unless the class names others as `Settings`.
# `register_model` gives it a name for `--model`.
@register_model("gru4rec")
class GRU4Rec(SequentialRecommender):
    """Encoded items, a GRU, and the product of its state with each candidate."""

    def __init__(self, config, dtype=None, **kwargs):
        indicators = HistoricalBehaviorIndicators(config.num_behaviors)
        encoder = ItemBehaviorEmbedding(config.num_items, config.dim, dtype=dtype)
        dropout = Dropout(config.dropout, dtype=dtype)
        # Histories are padded on the left, which cuDNN's GRU does not support.
        gru = keras.layers.GRU(config.dim, return_sequences=True, use_cudnn=False, dtype=dtype)

        inputs = recommender_inputs(self.features, config.shared_negatives)
        items, behaviors = inputs["item_ids"], inputs["behavior_ids"]
        candidates = inputs["candidate_ids"]
        events = dropout(encoder(items, indicators(items, behaviors)))
        states = gru(events)  # events carry a Keras mask of the padding
        counts = indicators(items, behaviors, candidates)
        scores = encoder(candidates, counts, states, inputs.get("negative_ids"))
        ranking = keras.layers.Identity(dtype="float32", name="ranking")(scores)
        super().__init__(config, dtype, inputs=inputs, outputs={"ranking": ranking}, **kwargs)


# %% The commands
# `--import` makes every command import this file, and with it the model. Evaluation and export load
# the run that training wrote; here, they run side by side.
def hmar(*arguments):
    """Starts a command that knows this file's model."""
    return subprocess.Popen(["hmar", "--import", __file__, *map(str, arguments)])


def main():
    """Trains, evaluates and exports."""
    with tempfile.TemporaryDirectory() as folder:
        run, models = Path(folder, "run"), Path(folder, "saved_models")
        data = ["--dataset", "synthetic_shop/tiny", "--model", "gru4rec"]
        settings = ["--set", "dim=16", "--set", "max_length=20", "--epochs", 3]
        assert hmar("train", *data, *settings, "--output", run).wait() == 0
        started = [hmar("evaluate", run), hmar("export", run, "--models", models)]
        assert [process.wait() for process in started] == [0, 0]

        # %% What came out
        assert (models / "synthetic_shop-tiny" / "1" / "saved_model.pb").is_file()
        results = json.loads((run / "metrics.json").read_text())["test"]
        scores = {name: protocols["sampled"]["ndcg@10"] for name, protocols in results.items()}
        assert scores["GRU4Rec"] > scores["popularity"]
        print(f"NDCG@10 {scores['GRU4Rec']:.4f}, popularity {scores['popularity']:.4f}")


if __name__ == "__main__":
    main()
