"""From random rows to training windows: held-out events are never in them."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.datasets import load_log
from pipelines.datasets.event_log import LogSpec
from pipelines.protocol.splits import split
from pipelines.runtime.errors import InputError
from pipelines.training.run_config import RunConfig

from ...asked_models import windows_of

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "cleo"]),
        st.sampled_from([f"item{n}" for n in range(12)]),
        st.sampled_from(["view", "buy", "buy"]),
        st.integers(0, 30),
    ),
    min_size=1,
    max_size=60,
    unique=True,
)


@settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=ROWS, windows=st.sampled_from(["all", "last"]), length=st.integers(1, 9))
def test_what_is_held_out_is_never_trained_on(rows, windows, length, write_log, tmp_path_factory):
    path = write_log("log.csv", rows)
    spec = LogSpec(
        (str(path),),
        "user",
        "item",
        behavior="kind",
        behaviors=("view", "buy"),
        time="time",
        target="buy",
    )
    dataset = load_log(spec, tmp_path_factory.mktemp("cache"))
    buys = {u: sum(row[0] == u and row[2] == "buy" for row in rows) for u, *_ in rows}
    try:
        splits = split(dataset)
    except InputError:
        # Four target events would leave a history before the validation answer.
        assert max(buys.values()) < 4
        return
    assert len(splits.test) == sum(count >= 3 for count in buys.values())

    config = RunConfig.of(
        dataset.num_items, dataset.behaviors, max_length=length, training_windows=windows
    )
    trained = np.zeros(dataset.num_events, int)
    for _, start, end in windows_of(splits, config):
        trained[start:end] += 1
    # An answer directly follows its history.
    answers = [*splits.validation.ends, *splits.test.ends]
    assert len(set(answers)) == len(answers)  # validation and test are disjoint
    assert not trained[answers].any()
    for questions in (splits.validation, splits.test):
        rows_of = dataset.offsets[questions.users]
        assert np.array_equal(questions.starts, rows_of)
        for start, end, answer in zip(
            questions.starts, questions.ends, questions.positives, strict=True
        ):
            assert dataset.item_ids[end] == answer
            assert dataset.behavior_ids[end] == dataset.behaviors.target_id
            assert np.all(np.diff(dataset.timestamps[start : end + 1]) >= 0)
    # Training uses no event of an evaluated user from the validation answer on.
    for user, end in zip(splits.validation.users, splits.validation.ends, strict=True):
        assert not trained[end : dataset.offsets[user + 1]].any()
    if windows == "all":
        expected = sum(
            e - s for s, e in zip(splits.train_starts, splits.train_ends, strict=True) if e - s > 1
        )
        assert (trained > 0).sum() == expected  # and all other events
