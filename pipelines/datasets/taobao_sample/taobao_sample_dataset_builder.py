"""TFDS builder for the Taobao sample of MB-CGCN, lists of items without times."""

from __future__ import annotations

import numpy as np

from hmar_keras.schema import Behaviors
from pipelines.datasets.interaction_dataset import InteractionDataset
from pipelines.datasets.log_builder import LogBuilder
from pipelines.datasets.numbered_log import group_numbered, held_out_item_ids
from pipelines.datasets.raw_files import SourceFiles
from pipelines.datasets.taobao_sample.item_lists import read_item_lists
from pipelines.runtime.errors import InputError

_BEHAVIORS = ("view", "cart", "buy")
_HELD_OUT = "buy/test.txt"
_ORDER_SEED = 0


class TaobaoSample(LogBuilder):
    """Views, carts and purchases of a sample of Taobao, with the official test purchases.

    The lists have no times. A user's views come first, then the carts, then the purchases; within a
    behaviour the order is drawn at random, the same in every preparation.
    """

    BEHAVIORS = Behaviors(_BEHAVIORS, target="buy")
    REPEATS = True

    @classmethod
    def sources(cls, config_name) -> SourceFiles:
        """Returns the lists of training items and the test purchases."""
        return SourceFiles(
            archive=None,
            members=(*(f"{behavior}/train.txt" for behavior in _BEHAVIORS), _HELD_OUT),
            folder="",
            homepage="https://github.com/SS-00-SS/MBCGCN",
        )

    def read_log(self, name, files) -> InteractionDataset:
        """Reads the three lists and the test purchases."""
        users, items, behavior_ids = [], [], []
        for behavior_id, behavior in enumerate(_BEHAVIORS, start=1):
            file = f"{behavior}/train.txt"
            of_users, of_items = read_item_lists(files.read(file), files.label(file))
            users.append(of_users)
            items.append(of_items)
            behavior_ids.append(np.full(len(of_users), behavior_id))
        users, items, behavior_ids = map(np.concatenate, (users, items, behavior_ids))
        label = files.label(_HELD_OUT)
        tested, answers = read_item_lists(files.read(_HELD_OUT), label)
        if len(np.unique(tested)) < len(tested):
            raise InputError(f"{label} must have one item per user.")
        tests = [None] * (max(users.max(), tested.max()) + 1)
        for user, item in zip(tested.tolist(), answers.tolist(), strict=True):
            tests[user] = item
        # Whatever order the files have, it is not time, and the last purchase answers validation.
        sorted_ = np.lexsort((items, behavior_ids, users))
        shuffled = np.random.default_rng(_ORDER_SEED).permutation(sorted_)
        order = shuffled[np.lexsort((behavior_ids[shuffled], users[shuffled]))]
        return group_numbered(
            name,
            self.BEHAVIORS,
            self.REPEATS,
            users=users[order],
            item_ids=items[order] + 1,
            behavior_ids=behavior_ids[order],
            timestamps=np.zeros(len(order)),
            held_out_items=held_out_item_ids(label, tests),
            num_items=max(items.max(), answers.max()) + 1,
        )

    def expected_counts(self):
        """Returns the counts of the official files."""
        return {
            "users": 15_449,
            "items": 11_953,
            "view": 858_505,
            "cart": 180_027,
            "buy": 92_180,
        }
