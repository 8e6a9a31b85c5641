import dataclasses
import json

import numpy as np
import pytest
from histories import property_test
from hypothesis import given
from hypothesis import strategies as st

from hmar_keras import PRESETS, Behaviors, HMARConfig

BEHAVIORS = Behaviors(("view", "cart", "buy"), target="buy")
NAN, INF = float("nan"), float("inf")

# The settings of the authors' release, row by row; alpha is target / each other.
PAPER = {
    # dim, max_length, learning_rate, dropout, alpha, theta, epochs
    "taobao": (80, 150, 6e-4, 0.45, (0.7, 0.1), 0.1, 700),
    "tianchi": (40, 100, 5e-4, 0.6, (0.7, 0.1), 0.15, 500),
    "yelp": (50, 170, 7e-4, 0.4, (0.3, 0.2), 0.1, 1000),
    "movielens": (50, 120, 6e-4, 0.4, (0.8, 0.1), 0.1, 700),
}
COLUMNS = ("dim", "max_length", "learning_rate", "dropout", "alpha", "theta", "epochs")


def make(**changes):
    return HMARConfig(**{"num_items": 9, "behaviors": BEHAVIORS, **changes})


@pytest.mark.parametrize("name", PAPER)
def test_presets_hold_the_papers_settings(name):
    config = HMARConfig.preset(name, 9, BEHAVIORS)
    expected = dict(zip(COLUMNS, PAPER[name], strict=True))
    target, other = expected.pop("alpha")
    assert config.alpha == {"view": other, "cart": other, "buy": target}
    for setting, value in expected.items():
        assert getattr(config, setting) == value, setting
    for setting, value in {
        **{"num_heads": 1, "num_behavior_blocks": 1, "num_sequence_blocks": 1},
        **{"batch_size": 128, "adam_beta_2": 0.98, "beta": 1.0, "num_negatives": 1},
        **{"num_items": 9, "behaviors": BEHAVIORS},
    }.items():
        assert getattr(config, setting) == value, setting


def test_there_is_a_preset_for_each_dataset_and_each_other_model():
    assert set(PRESETS) == {*PAPER, "sasrec", "gsasrec"}
    with pytest.raises(ValueError, match=r"unknown preset 'netflix'; the presets are taobao"):
        HMARConfig.preset("netflix", 9, BEHAVIORS)


@pytest.mark.parametrize("name", ["sasrec", "gsasrec"])
def test_presets_of_other_models_weigh_all_behaviours_alike(name):
    config = HMARConfig.preset(name, 9, BEHAVIORS)
    assert config.model == "sasrec"
    assert set(config.alpha.values()) == {1.0}
    assert config.loss == {"sasrec": "bce", "gsasrec": "gbce"}[name]


def test_the_sampling_rate_is_a_share_of_the_other_items():
    assert make(num_items=101, num_negatives=25).sampling_rate == 0.25
    assert make(num_items=6, num_negatives=25).sampling_rate == 5  # items are drawn several times
    assert make(num_items=1).sampling_rate == 1


def test_yelps_weights_go_by_name_where_a_name_occurs():
    behaviors = Behaviors(("tip", "neg", "neutral", "pos"), target="pos")
    config = HMARConfig.preset("yelp", 9, behaviors)
    assert config.alpha == {"tip": 0.2, "neg": 0.2, "neutral": 0.3, "pos": 0.3}


def test_presets_can_be_changed():
    config = HMARConfig.preset("taobao", 9, BEHAVIORS, dim=16, num_heads=2)
    assert (config.dim, config.num_heads, config.max_length) == (16, 2, 150)
    with pytest.raises(ValueError, match="unknown setting 'depth'"):
        HMARConfig.preset("taobao", 9, BEHAVIORS, depth=2)


def test_making_presets_leaves_the_table_alone():
    before = json.dumps(PRESETS)
    for name in PAPER:
        HMARConfig.preset(name, 9, BEHAVIORS, dim=8)
    assert json.dumps(PRESETS) == before


weight = st.floats(0, 10)
positive = st.floats(1e-9, 1.0)
count = st.integers(1, 10**6)


@st.composite
def configs(draw):
    names = draw(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, unique=True))
    num_heads = draw(st.integers(1, 8))
    alpha = draw(st.dictionaries(st.sampled_from(names), weight))
    return HMARConfig(
        num_items=draw(count),
        behaviors=Behaviors(names, target=draw(st.sampled_from(names))),
        model=draw(st.sampled_from(["hmar", "sasrec"])),
        events=draw(st.sampled_from(["all", "target"])),
        holdout=draw(st.sampled_from(["target", "last"])),
        indicators=draw(st.booleans()),
        loss=draw(st.sampled_from(["bce", "gbce", "sampled_softmax"])),
        gbce_calibration=draw(st.floats(0, 1)),
        shared_negatives=draw(st.booleans()),
        targets=draw(st.sampled_from(["all", "new_items"])),
        order=draw(st.sampled_from(["time", "random"])),
        dim=num_heads * draw(st.integers(1, 50)),
        max_length=draw(count),
        num_heads=num_heads,
        num_behavior_blocks=draw(st.integers(0, 10**6)),
        num_sequence_blocks=draw(count),
        dropout=draw(st.floats(0, 1, exclude_max=True)),
        variant=draw(st.sampled_from(["paper", "release"])),
        num_neighbors=draw(st.integers(0, 10**6)),
        neighbor_weight=draw(positive),
        item_buckets=draw(st.sampled_from([0, 5, 10**6])),
        # The other start is not for buckets.
        item_start="random",
        learning_rate_schedule=draw(st.sampled_from(["constant", "cosine"])),
        alpha=alpha,
        beta=draw(weight),
        theta=draw(st.integers(0, 5)),
        num_negatives=draw(count),
        windows=draw(st.sampled_from(["last", "all"])),
        learning_rate=draw(positive),
        adam_beta_2=draw(st.floats(0, 1, exclude_min=True, exclude_max=True)),
        batch_size=draw(count),
        epochs=draw(count),
        patience=draw(count),
    )


@property_test
@given(configs())
def test_json_round_trip(config):
    revived = HMARConfig.from_json(config.to_json())
    assert revived == config
    assert isinstance(revived.theta, float)
    # Every setting is in the text, and nothing but plain JSON.
    assert set(json.loads(config.to_json())) == {f.name for f in dataclasses.fields(HMARConfig)}
    assert HMARConfig.from_dict(config.to_dict()) == config
    assert config.replace() == config


@property_test
@given(configs())
def test_alpha_is_complete_and_in_the_order_of_the_ids(config):
    names = config.behaviors.names
    assert list(config.alpha) == list(names)
    assert config.alpha_by_id == [config.alpha[name] for name in names]
    assert config.num_behaviors == len(names)


def test_alpha_fills_up_with_the_papers_usual_weights():
    assert make().alpha == {"view": 0.1, "cart": 0.1, "buy": 0.7}
    assert make(alpha={"view": 0}).alpha == {"view": 0.0, "cart": 0.1, "buy": 0.7}
    assert make(alpha={"buy": 2}).alpha_by_id == [0.1, 0.1, 2.0]


def test_replace_changes_what_it_is_told_and_nothing_else():
    config, changed = make(dim=8, theta=0.3), make(dim=8, theta=0.3).replace(num_heads=4)
    assert changed.num_heads == 4
    assert changed.replace(num_heads=1) == config
    with pytest.raises(ValueError, match="unknown setting 'heads'"):
        config.replace(heads=2)
    with pytest.raises(ValueError, match="num_heads must divide dim"):
        config.replace(num_heads=3)


def test_a_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().dim = 3


INTEGERS = [
    *("num_items", "dim", "max_length", "num_heads"),
    *("num_sequence_blocks", "num_negatives", "batch_size", "epochs", "patience"),
]
INTEGERS_FROM_ZERO = ["item_buckets", "num_behavior_blocks", "num_neighbors"]
NUMBERS = ["dropout", "beta", "theta", "learning_rate", "adam_beta_2", "gbce_calibration"]
NUMBERS += ["neighbor_weight"]
FLAGS = ["indicators", "shared_negatives"]
CHOICES = ["variant", "windows", "batching", "optimizer"]
CHOICES += ["model", "events", "holdout", "loss", "targets", "order"]
CHOICES += ["item_start", "learning_rate_schedule"]


def test_every_setting_is_tried_below():
    tried = {*INTEGERS, *INTEGERS_FROM_ZERO, *NUMBERS, *FLAGS, *CHOICES, "alpha", "behaviors"}
    assert tried == {field.name for field in dataclasses.fields(HMARConfig)}


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("value", [True, 1.0, "8", None, [8], 0, -4])
def test_whole_numbers_from_one(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be"):
        make(**{name: value})


@pytest.mark.parametrize("name", INTEGERS_FROM_ZERO)
@pytest.mark.parametrize("value", [True, 1.0, "8", None, [8], -1])
def test_whole_numbers_from_zero(name, value):
    with pytest.raises(ValueError, match=f"^{name} must"):
        make(**{name: value})
    assert getattr(make(**{name: 0}), name) == 0


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [True, "0.1", None, NAN, INF, -INF, -0.1])
def test_numbers(name, value):
    with pytest.raises(ValueError, match=f"^{name} must"):
        make(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("dropout", 1), ("dropout", 1.5), ("learning_rate", 0)),
        *(("adam_beta_2", 0), ("adam_beta_2", 1), ("gbce_calibration", 1.5)),
        ("neighbor_weight", 0),
    ],
)
def test_numbers_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"^{name} must"):
        make(**{name: value})


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("value", [0, 1, "true", None])
def test_flags_are_true_or_false(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be true or false"):
        make(**{name: value})


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("value", ["some", "", None, True, 1])
def test_choices(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be"):
        make(**{name: value})


def test_hashed_items_cannot_start_from_cooccurrence():
    assert make(item_start="cooccurrence").item_start == "cooccurrence"
    with pytest.raises(ValueError, match="item_start=cooccurrence needs a row an item"):
        make(item_start="cooccurrence", item_buckets=4)


@pytest.mark.parametrize("num_heads", [3, 16])
def test_heads_must_divide_the_width(num_heads):
    with pytest.raises(ValueError, match=f"num_heads={num_heads} and dim=8"):
        make(dim=8, num_heads=num_heads)


@pytest.mark.parametrize(
    ("alpha", "message"),
    [
        ({"click": 0.1}, "alpha names the unknown behaviour 'click'; the behaviours are view"),
        ({"view": -0.1}, "alpha of 'view' must be a number from 0, got -0.1"),
        ({"view": NAN}, "alpha of 'view' must be a number from 0, got nan"),
        ({"view": True}, "alpha of 'view' must be a number from 0, got True"),
        ({"view": "1"}, "alpha of 'view' must be a number from 0, got '1'"),
        ([0.1, 0.1, 0.7], "alpha must map behaviour names to weights"),
    ],
)
def test_wrong_alpha(alpha, message):
    with pytest.raises(ValueError, match=message):
        make(alpha=alpha)


def test_behaviors_may_be_a_dict_and_nothing_else():
    assert make(behaviors={"names": ["view", "cart", "buy"], "target": "buy"}) == make()
    for wrong in (["view", "buy"], "view", None):
        with pytest.raises(ValueError, match="behaviors must be"):
            make(behaviors=wrong)
    with pytest.raises(ValueError, match="target behaviour 'sell' is not one of"):
        make(behaviors={"names": ["view"], "target": "sell"})


@pytest.mark.parametrize(
    "behaviors",
    [
        *({"names": ["view"]}, {"target": "view"}, {}),
        *({"names": ["view"], "target": "view", "x": 1}, {"names": None, "target": "view"}),
    ],
)
def test_wrong_behaviors_in_json_are_a_value_error(behaviors):
    with pytest.raises(ValueError, match="behavio"):
        HMARConfig.from_json(json.dumps({"num_items": 9, "behaviors": behaviors}))


@pytest.mark.parametrize("text", ["", "[]", "3", "{", '"dim"', "null"])
def test_what_is_not_a_json_object_is_an_error(text):
    with pytest.raises(ValueError, match=r"JSON object|Expecting"):
        HMARConfig.from_json(text)


@pytest.mark.parametrize("missing", ["num_items", "behaviors"])
def test_a_missing_setting_is_named(missing):
    settings = make().to_dict()
    del settings[missing]
    with pytest.raises(ValueError, match=f"the setting '{missing}' is missing"):
        HMARConfig.from_dict(settings)


def test_an_unknown_setting_is_named():
    with pytest.raises(ValueError, match=r"unknown setting 'depth'; the settings are num_items"):
        HMARConfig.from_dict({**make().to_dict(), "depth": 3})


def test_numpy_numbers_do_not_break_the_round_trip():
    config = make(learning_rate=np.float64(0.5), theta=np.float64(0.25))
    assert HMARConfig.from_json(config.to_json()) == config
