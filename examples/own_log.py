"""Keras's own `compile` and `fit` on a log of your own, and whether it was worth it.

The log is made up here, so that the script runs as it is; in its place put a CSV, Parquet or
JSON lines file with one event a row, and the names of its columns. On the command line all of it
is `hmar run --log FILE --user ... --item ...`.

    python examples/own_log.py
"""

import csv
import os
import random
import tempfile
from pathlib import Path

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"  # a training step takes a quarter less time on a CPU

import keras

from hmar_keras import HMAR, compile_arguments
from pipelines.datasets import load_log
from pipelines.datasets.event_log import LogSpec
from pipelines.evaluation.baselines import baselines
from pipelines.evaluation.evaluator import Evaluator
from pipelines.evaluation.scoring import model_scorer
from pipelines.protocol.splits import split
from pipelines.training.host_batches import TrainingData, evaluation_dataset
from pipelines.workflow.settings import build_config


# %% A log
# A made-up shop with a habit to be learned: customers look at the product that comes after their
# last purchase, sometimes put it in the cart, but mostly buy the one after that.
def write_log(path, customers=400, products=80):
    """Writes views, carts and purchases, one a row."""
    draw = random.Random(0)
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["customer", "product", "event", "minute"])
        for customer in range(customers):
            bought, minute = draw.randrange(products), 0
            for _ in range(draw.randint(5, 10)):
                after = (bought + 1) % products
                visit = [(after, "view"), (draw.randrange(products), "view")]
                if draw.random() < 0.5:
                    visit.insert(1, (after, "cart"))
                bought = (after + 1) % products if draw.random() < 0.8 else after
                for product, event in [*visit, (bought, "buy")]:
                    minute += draw.randint(1, 500)
                    rows.writerow([f"c{customer}", f"SKU-{product}", event, minute])


# %% Read it
# Behaviours are ordered by frequency, the rarer the stronger, unless `behaviors=` names them; the
# target is what shall be recommended. Without `cache_dir` what was read is kept in ~/.cache/hmar.
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "shop.csv")
    write_log(path)
    spec = LogSpec(
        (str(path),), "customer", "product", behavior="event", time="minute", target="buy"
    )
    dataset = load_log(spec, cache_dir=folder)
print(f"{dataset.num_users} users, {dataset.num_items} items, {dataset.events_by_behavior()}")

# %% Hold out
# A user's last purchase is the test, the one before it the validation; training ends before that.
splits = split(dataset)

# %% The model
# A functional Keras model: `summary`, callbacks, `save` and the rest are Keras's. The settings are
# those of `hmar run --log`, made smaller, as the log is small.
config = build_config(dataset, epochs=8)
config = config.replace(dim=32, max_length=24, batch_size=16, learning_rate=2e-3)
keras.utils.set_random_seed(0)
model = HMAR(config.model)
model.compile(**compile_arguments(model, config.training))

# %% Train
data = TrainingData(splits, model, config.training, seed=0)
batch_size = config.training.batch_size
validation = evaluation_dataset(splits, splits.validation, model, batch_size, seed=0)
history = model.fit(
    data.dataset(),
    steps_per_epoch=data.steps_per_epoch,
    epochs=config.training.epochs,
    validation_data=validation,
    shuffle=False,  # it comes shuffled, in an order of the seed
    verbose=0,
)
scores = history.history["val_ranking_ndcg@10"]
print(f"validation NDCG@10 among random items, by epoch: {scores[0]:.4f} ... {scores[-1]:.4f}")

# %% Test
# Every test user's answer among the whole catalogue; and, where it is new to them, among what they
# have not touched. Trained against what a user has not touched, a model puts what they know first.
# Where it is seldom the answer, as here, ask with `exclude_seen`, which is the second column.
test = Evaluator(dataset, splits.test, seed=0)
print(f"{'test NDCG@10':20} catalogue  new items")
new = {}
for name, scorer in {"HMAR": model_scorer(model, dataset), **baselines(splits)}.items():
    results = test(scorer)
    new[name] = results["full_unseen"]["ndcg@10"]
    print(f"{name:20} {results['full']['ndcg@10']:9.4f}  {new[name]:9.4f}")
assert new["HMAR"] == max(new.values())
print(f"new items: HMAR {new['HMAR']:.4f}, popularity {new['popularity']:.4f}")
