import dataclasses
import json

import numpy as np
import pytest
from histories import property_test
from hypothesis import given
from hypothesis import strategies as st

from hmar_keras import (
    PRESETS,
    Behaviors,
    HMARConfig,
    ModelConfig,
    NextItemConfig,
    SASRecConfig,
    TrainingConfig,
    setting,
)
from hmar_keras.presets import preset_settings
from hmar_keras.settings import Settings

BEHAVIORS = Behaviors(("view", "cart", "buy"), target="buy")
NAN, INF = float("nan"), float("inf")

# The settings of the authors' release, one dataset per row; alpha is (target, each other one).
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


def make_any(**changes):
    """Returns model or training settings, whichever class has the changed ones."""
    if set(changes) & set(TrainingConfig.names()):
        return TrainingConfig(**changes)
    return make(**changes)


def preset(name, behaviors=BEHAVIORS):
    """Returns the model and the training settings of a preset."""
    settings = preset_settings(name, behaviors)
    kind = {"hmar": HMARConfig, "sasrec": SASRecConfig}[settings["model"]]
    known = {each: settings[each] for each in settings if each in kind.names()}
    return kind(9, behaviors, **known), TrainingConfig.preset(name)


@pytest.mark.parametrize("name", PAPER)
def test_presets_hold_the_papers_settings(name):
    settings = {**preset(name)[1].to_dict(), **preset(name)[0].to_dict()}
    expected = dict(zip(COLUMNS, PAPER[name], strict=True))
    target, other = expected.pop("alpha")
    expected["alpha"] = {"view": other, "cart": other, "buy": target}
    expected |= {"num_heads": 1, "num_behavior_blocks": 1, "num_sequence_blocks": 1}
    expected |= {"batch_size": 128, "adam_beta_2": 0.98, "beta": 1.0, "num_negatives": 1}
    assert {each: settings[each] for each in expected} == expected


def test_there_is_a_preset_for_each_dataset_and_each_other_model():
    assert set(PRESETS) == {*PAPER, "sasrec", "gsasrec"}
    with pytest.raises(ValueError, match=r"unknown preset 'netflix'; the presets are taobao"):
        TrainingConfig.preset("netflix")


@pytest.mark.parametrize("name", ["sasrec", "gsasrec"])
def test_presets_of_other_models_weigh_all_behaviours_alike(name):
    config, _ = preset(name)
    assert type(config) is SASRecConfig
    assert set(config.alpha.values()) == {1.0}
    assert config.loss == {"sasrec": "bce", "gsasrec": "gbce"}[name]


def test_the_sampling_rate_is_a_share_of_the_other_items():
    assert make(num_items=101, num_negatives=25).sampling_rate == 0.25
    assert make(num_items=6, num_negatives=25).sampling_rate == 5  # items can be drawn repeatedly
    assert make(num_items=1).sampling_rate == 1


def test_yelps_weights_go_by_name_where_a_name_occurs():
    behaviors = Behaviors(("tip", "neg", "neutral", "pos"), target="pos")
    config, _ = preset("yelp", behaviors)
    assert config.alpha == {"tip": 0.2, "neg": 0.2, "neutral": 0.3, "pos": 0.3}


def test_making_presets_leaves_the_table_alone():
    before = json.dumps(PRESETS)
    for name in PAPER:
        preset_settings(name, BEHAVIORS)["dim"] = 8
    assert json.dumps(PRESETS) == before


weight = st.floats(0, 10)
count = st.integers(1, 10**6)


@st.composite
def configs(draw):
    names = draw(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, unique=True))
    num_heads = draw(st.integers(1, 8))
    alpha = draw(st.dictionaries(st.sampled_from(names), weight))
    loss = draw(st.sampled_from(["bce", "gbce", "sampled_softmax"]))
    shared_negatives = draw(st.booleans())
    return HMARConfig(
        num_items=draw(count),
        behaviors=Behaviors(names, target=draw(st.sampled_from(names))),
        input_behaviors=draw(st.sampled_from(["all", "target"])),
        indicators=draw(st.booleans()),
        loss=loss,
        gbce_calibration=draw(st.floats(0, 1)),
        shared_negatives=shared_negatives,
        memory=loss == "sampled_softmax" and shared_negatives and draw(st.booleans()),
        labels=draw(st.sampled_from(["all", "new_items"])),
        training_order=draw(st.sampled_from(["time", "random"])),
        dim=num_heads * draw(st.integers(1, 50)),
        max_length=draw(count),
        num_heads=num_heads,
        num_behavior_blocks=draw(st.integers(0, 10**6)),
        num_sequence_blocks=draw(count),
        dropout=draw(st.floats(0, 1, exclude_max=True)),
        variant=draw(st.sampled_from(["paper", "release"])),
        item_buckets=draw(st.sampled_from([0, 5, 10**6])),
        # The other start is not allowed with buckets.
        item_start="random",
        alpha=alpha,
        beta=draw(weight),
        theta=draw(st.integers(0, 5)),
        num_negatives=draw(count),
        training_windows=draw(st.sampled_from(["last", "all"])),
    )


@property_test
@given(configs())
def test_round_trip_through_json(config):
    settings = json.loads(json.dumps(config.to_dict()))
    revived = HMARConfig.from_dict(settings)
    assert revived == config
    assert isinstance(revived.theta, float)
    assert set(settings) == {f.name for f in dataclasses.fields(HMARConfig)}
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
INTEGERS_FROM_ZERO = ["item_buckets", "num_behavior_blocks"]
NUMBERS = ["dropout", "beta", "theta", "learning_rate", "adam_beta_2", "gbce_calibration"]
FLAGS = ["indicators", "memory", "shared_negatives"]
CHOICES = ["variant", "training_windows", "batching", "optimizer"]
CHOICES += ["input_behaviors", "loss", "labels", "training_order"]
CHOICES += ["item_start", "learning_rate_schedule"]


def test_every_setting_is_tried_below():
    tried = {*INTEGERS, *INTEGERS_FROM_ZERO, *NUMBERS, *FLAGS, *CHOICES, "alpha", "behaviors"}
    assert tried == {*HMARConfig.names(), *TrainingConfig.names()}


WRONG = {
    **dict.fromkeys(INTEGERS, (True, 1.0, "8", None, [8], 0, -4)),
    **dict.fromkeys(INTEGERS_FROM_ZERO, (True, 1.0, "8", None, [8], -1)),
    **dict.fromkeys(NUMBERS, (True, "0.1", None, NAN, INF, -INF, -0.1)),
    **dict.fromkeys(FLAGS, (0, 1, "true", None)),
    **dict.fromkeys(CHOICES, ("some", "", None, True, 1)),
}
OUT_OF_RANGE = {
    "dropout": (1, 1.5),
    "learning_rate": (0,),
    "adam_beta_2": (0, 1),
    "gbce_calibration": (1.5,),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_values_are_named(name):
    for value in (*WRONG[name], *OUT_OF_RANGE.get(name, ())):
        with pytest.raises(ValueError) as error:
            make_any(**{name: value})
        assert str(error.value).startswith(f"{name} must "), value


def test_zero_is_a_whole_number_from_zero():
    for name in INTEGERS_FROM_ZERO:
        assert getattr(make(**{name: 0}), name) == 0


def test_hashed_items_cannot_start_from_cooccurrence():
    assert make(item_start="cooccurrence").item_start == "cooccurrence"
    with pytest.raises(ValueError, match="item_start=cooccurrence needs one row per item"):
        make(item_start="cooccurrence", item_buckets=4)


@pytest.mark.parametrize("changes", [{"loss": "gbce"}, {"shared_negatives": False}])
def test_a_memory_needs_a_softmax_over_shared_negatives(changes):
    needed = {"loss": "sampled_softmax", "shared_negatives": True}
    assert make(**needed, memory=True).memory
    with pytest.raises(ValueError, match="memory needs loss=sampled_softmax and shared_negatives"):
        make(**{**needed, **changes}, memory=True)


@pytest.mark.parametrize("num_heads", [3, 16])
def test_heads_must_divide_the_width(num_heads):
    with pytest.raises(ValueError, match=f"num_heads={num_heads} and dim=8"):
        make(dim=8, num_heads=num_heads)


@pytest.mark.parametrize(
    ("alpha", "message"),
    [
        ({"click": 0.1}, "alpha names the unknown behaviour 'click'; the behaviours are view"),
        ({"view": -0.1}, "alpha of 'view' must be a number of at least 0, got -0.1"),
        ({"view": NAN}, "alpha of 'view' must be a number of at least 0, got nan"),
        ({"view": True}, "alpha of 'view' must be a number of at least 0, got True"),
        ({"view": "1"}, "alpha of 'view' must be a number of at least 0, got '1'"),
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
        HMARConfig.from_dict({"num_items": 9, "behaviors": behaviors})


@pytest.mark.parametrize("missing", ["num_items", "behaviors"])
def test_a_missing_setting_is_named(missing):
    settings = make().to_dict()
    del settings[missing]
    with pytest.raises(ValueError, match=f"the setting '{missing}' is missing"):
        HMARConfig.from_dict(settings)


def test_an_unknown_setting_is_named_with_the_closest_ones():
    with pytest.raises(ValueError, match=r"unknown setting 'num_head'; did you mean num_heads"):
        make().replace(num_head=3)
    with pytest.raises(ValueError, match=r"unknown setting 'zzz'; choose from optimizer, learning"):
        TrainingConfig().replace(zzz=3)


def test_numpy_numbers_do_not_break_the_round_trip():
    config = make(dropout=np.float64(0.5), theta=np.float64(0.25))
    assert HMARConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_only_hmar_has_the_papers_weights():
    kinds = (NextItemConfig, SASRecConfig)
    assert [set(kind(9, BEHAVIORS).alpha.values()) for kind in kinds] == [{1.0}, {1.0}]
    assert not hasattr(ModelConfig(9, BEHAVIORS), "alpha")


@dataclasses.dataclass(frozen=True)
class Own(NextItemConfig):
    """Custom settings of a user."""

    share: float = setting(0.25, above=0, at_most=1)
    kind: str = setting("mean", choices=("mean", "last"))
    plain: int = 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"share": 0}, "share must be greater than 0, got 0.0"),
        ({"share": 1.5}, "share must be at most 1, got 1.5"),
        ({"kind": "max"}, "kind must be one of mean, last, got 'max'"),
        ({"plain": 0.5}, "plain must be a whole number, got 0.5"),
        ({"dim": -1}, "dim must be greater than 0, got -1"),
        ({"shar": 1}, "unknown setting 'shar'; did you mean share"),
    ],
)
def test_own_settings_are_checked_like_all(changes, message):
    config = Own(9, BEHAVIORS, share=0.5)
    assert Own.from_dict(config.to_dict()) == config
    with pytest.raises(ValueError, match=message):
        config.replace(**changes)


@dataclasses.dataclass(frozen=True)
class Odd(Settings):
    """Settings with fields as other libraries declare them."""

    widths: tuple = (8, 4)
    rate: float = dataclasses.field(default=0.5, metadata={"help": "of learning"})


def test_fields_of_other_kinds_pass():
    settings = Odd(widths=(3,))
    assert Odd.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    with pytest.raises(ValueError, match="rate must be a finite number"):
        Odd(rate=10**400)


def test_what_means_the_same_has_the_same_kind_and_bounds():
    assert SASRecConfig.means_the_same("num_sequence_blocks", HMARConfig)
    assert Own.means_the_same("dim", HMARConfig) and Own.means_the_same("alpha", NextItemConfig)
    assert not Own.means_the_same("kind", HMARConfig)

    @dataclasses.dataclass(frozen=True)
    class Other(NextItemConfig):
        dim: int = setting(8, above=0, at_most=32)
        alpha: float = 0.5

    assert not Other.means_the_same("dim", HMARConfig)
    assert not Other.means_the_same("alpha", HMARConfig)


def test_what_concerns_several_settings_is_checked_by_all_classes():
    @dataclasses.dataclass(frozen=True)
    class Pair(Settings):
        low: int = 1
        high: int = 2

        def check(self):
            if self.low > self.high:
                raise ValueError("low must not be above high.")

    with pytest.raises(ValueError, match="low must not be above high"):
        Pair().replace(low=5)
