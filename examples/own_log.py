"""Keras's own `compile` and `fit` on your own log, and a comparison with baselines.

The log is made up, so that the script runs as it is. Replace it with a CSV, Parquet or JSON Lines
file with one event per row, and name its columns. On the command line, all of this is
`hmar run --log FILE --user ... --item ...`.

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
from pipelines.training.fit import prepare
from pipelines.training.host_batches import TrainingData, evaluation_dataset
from pipelines.workflow.settings import build_config


# %% A log
# A made-up shop with a habit to learn: customers look at the product that comes after their
# last purchase, sometimes put it in the cart, but mostly buy the one after that.
def write_log(path, customers=400, products=80):
    """Writes views, carts and purchases, one per row."""
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
# Behaviours are ordered by frequency, the rarer the stronger, unless `behaviors=` lists them; the
# target is the behaviour to recommend for. Without `cache_dir`, the log is kept in ~/.cache/hmar.
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
# those of `hmar run --log`, made smaller because the log is small. The model starts from what
# simple rules know, which `prepare` counts.
config = build_config(dataset, epochs=8)
config = config.replace(dim=32, max_length=24, batch_size=16, learning_rate=2e-3)
keras.utils.set_random_seed(0)
model = HMAR(config.model)
prepare(model, splits)
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
    shuffle=False,  # it is already shuffled, by the seed
    verbose=0,
)
scores = history.history["val_ranking_ndcg@10"]
print(f"validation NDCG@10 among random items, by epoch: {scores[0]:.4f} ... {scores[-1]:.4f}")

# %% Test
# Ranks each test user's answer in the whole catalogue and, if it is new to the user, among items
# that the user has not touched. Training negatives are untouched items, so a model ranks familiar
# ones first. If these are rarely the answer, as here, use `exclude_seen`, as in the second column.
test = Evaluator(dataset, splits.test, seed=0)
print(f"{'test NDCG@10':22} catalogue  new items")
new = {}
for name, scorer in {"HMAR": model_scorer(model, dataset), **baselines(splits)}.items():
    results = test(scorer)
    new[name] = results["full_unseen"]["ndcg@10"]
    print(f"{name:22} {results['full']['ndcg@10']:9.4f}  {new[name]:9.4f}")
assert new["HMAR"] == max(new.values())
print(f"new items: HMAR {new['HMAR']:.4f}, popularity {new['popularity']:.4f}")
