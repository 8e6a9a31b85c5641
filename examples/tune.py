"""A search for alpha, beta and theta with one of KerasTuner's own tuners.

They weight the losses: alpha the positives of every behaviour, beta the negatives (Eq. 15), theta
the second task (Eq. 18). On the command line, with workers and resumption, this search is
`hmar tune --over alpha --over beta --over theta --set loss=bce`.

    python examples/tune.py
"""

import os
import tempfile

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"  # a training step takes a quarter less time on a CPU

import keras
import keras_tuner

from pipelines.datasets import load_dataset
from pipelines.evaluation.baselines import baselines
from pipelines.evaluation.evaluator import Evaluator
from pipelines.evaluation.scoring import model_scorer
from pipelines.protocol.splits import split
from pipelines.training.run_config import RunConfig
from pipelines.tuning import HMARHyperModel, SearchSpace

# %% What is searched
# Everything else stays as in `base`. Its loss is the paper's binary cross-entropy, which uses all
# three; a sampled softmax has no beta. Without `over`, the architecture is searched, too.
dataset = load_dataset("synthetic_shop/tiny")
splits = split(dataset)
base = RunConfig.of(
    dataset.num_items, dataset.behaviors, dim=16, max_length=20, batch_size=16,
    num_negatives=8, learning_rate=5e-3, epochs=4,
)  # fmt: skip
hypermodel = HMARHyperModel(splits, SearchSpace.of(base, over=["alpha", "beta", "theta"]))

# %% The search
# `val_score` is NDCG@10 over the whole catalogue on validation; the test is not used. Any tuner
# works: with more trials, `BayesianOptimization` or `Hyperband` choose better.
with tempfile.TemporaryDirectory() as folder:
    tuner = keras_tuner.RandomSearch(
        hypermodel,
        keras_tuner.Objective("val_score", "max"),
        max_trials=4,
        seed=1,
        directory=folder,
    )
    tuner.search(verbose=0)
    (trial,) = tuner.oracle.get_best_trials()
    (best,) = tuner.get_best_models()  # with the weights of the trial's best epoch
for name, value in sorted(trial.hyperparameters.values.items()):
    print(f"{name:15} {float(value):.4f}")

# %% Where it began
# Hyper-parameters that are not set have the values of `base`, which is trained like a trial.
values = keras_tuner.HyperParameters()
model = hypermodel.build(values)
keep_best = keras.callbacks.EarlyStopping(
    "val_score", mode="max", patience=base.training.epochs, restore_best_weights=True
)
history = hypermodel.fit(values, model, callbacks=[keep_best])
print(f"validation: base {max(history.history['val_score']):.4f}, best {trial.score:.4f}")

# %% Was it worth it?
# Four trials of four epochs and 196 test users say little, and what is best on validation need not
# be best on the test. A real search needs more of everything.
test = Evaluator(dataset, splits.test, seed=0)


def score(scorer):
    """Returns NDCG@10 over the whole catalogue."""
    return test(scorer)["full"]["ndcg@10"]


base_score, best_score = (score(model_scorer(each, dataset)) for each in (model, best))
assert min(base_score, best_score) > score(baselines(splits)["popularity"])
print(f"test NDCG@10: base {base_score:.4f}, best {best_score:.4f}")
