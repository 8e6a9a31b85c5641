"""One log in five formats gives the same records: CSV, Parquet, JSON lines, CSR pickles, text."""

import pickle

import numpy as np
import pytest
import scipy.sparse

from pipelines.datasets import load_dataset, load_log
from pipelines.datasets.event_log import LogSpec

pytestmark = pytest.mark.filterwarnings("ignore:.*differs from the official files")

BEHAVIORS = ("pv", "fav", "cart", "buy")
USERS, ITEMS = 60, 40


@pytest.fixture(scope="module")
def rows():
    """Returns (user, item, behaviour, time) by time, each triple once, ties from weak to strong."""
    rng = np.random.default_rng(0)
    cells = rng.choice(USERS * ITEMS * 4, 1500, replace=False)
    triples = {(c // 4 // ITEMS, c // 4 % ITEMS, c % 4) for c in cells.tolist()}
    triples |= {(user, user % ITEMS, 0) for user in range(USERS)}  # no empty row or column
    events = [
        (u, i, b, int(time)) for (u, i, b) in sorted(triples) for time in rng.integers(1, 50, 1)
    ]
    events.sort(key=lambda event: (event[3], event[2], event[1]))
    return [(user, item, BEHAVIORS[behavior], time) for user, item, behavior, time in events]


def own(path, cache):
    spec = LogSpec(
        (str(path),),
        "user",
        "item",
        behavior="kind",
        time="time",
        target="buy",
        behaviors=BEHAVIORS,
    )
    return load_log(spec, cache)


def write_csr(folder, rows):
    for behavior in BEHAVIORS:
        cells = [(user, item, time) for user, item, kind, time in rows if kind == behavior]
        users, items, times = zip(*cells, strict=True)
        matrix = scipy.sparse.csr_matrix((times, (users, items)), shape=(USERS, ITEMS))
        (folder / f"trn_{behavior}").write_bytes(pickle.dumps(matrix))
    (folder / "tst_int").write_bytes(pickle.dumps([None] * USERS))
    return folder


def write_text(folder, rows):
    lines = "".join(f"{user + 1} {item + 1} {kind}\n" for user, item, kind, _ in rows)
    (folder / "Tmall.txt").write_text("user item behaviour\n" + lines)
    (folder / "Tmall_tst_int").write_bytes(pickle.dumps([None] * USERS))
    return folder


def records(cache):
    """Returns the bytes of the prepared records."""
    files = sorted(cache.glob("**/*.tfrecord*"))
    assert files
    return b"".join(file.read_bytes() for file in files)


def test_five_forms_give_the_same_records(rows, write_log, tmp_path):
    written, datasets = {}, {}
    for form in ("log.csv", "log.csv.gz", "log.parquet", "log.jsonl"):
        datasets[form] = own(write_log(form, rows), tmp_path / form)
        written[form] = records(tmp_path / form)
    for form, write in (("csr", write_csr), ("text", write_text)):
        folder = tmp_path / f"{form}-files"
        folder.mkdir()
        datasets[form] = load_dataset(f"taobao/{form}", write(folder, rows), tmp_path / form)
        written[form] = records(tmp_path / form)

    first = datasets["log.csv"]
    assert first.num_events == len(rows)
    assert first.users.tolist() == [str(user) for user in range(USERS)]
    assert first.items.tolist() == [str(item) for item in range(ITEMS)]
    for form, dataset in datasets.items():
        assert dataset.behaviors == first.behaviors
        for field in ("users", "items", "offsets", "item_ids", "behavior_ids", "held_out_items"):
            left, right = getattr(dataset, field), getattr(first, field)
            assert left.dtype == right.dtype, (form, field)
            assert left.tobytes() == right.tobytes(), (form, field)
    # The text has no times, so its records hold line numbers instead.
    assert len({content for form, content in written.items() if form != "text"}) == 1
    steps = np.diff(datasets["text"].timestamps)
    last = datasets["text"].offsets[1:-1] - 1
    assert np.all(np.delete(steps, last) > 0)
