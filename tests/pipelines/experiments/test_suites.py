import pytest

from hmar_keras.schema import Behaviors
from pipelines.experiments.suites import REFERENCE, SUITES, variants
from pipelines.runtime.errors import InputError
from pipelines.training.run_config import RunConfig

CONFIG = RunConfig.of(9, Behaviors(("view", "buy"), "buy"), dim=8)
REMEMBERS = {"memory": True, "loss": "sampled_softmax", "shared_negatives": True}


def changed(variant, config=CONFIG):
    own, common = variant.config.to_dict(), config.to_dict()
    return {field: value for field, value in own.items() if value != common.get(field)}


def by_name(suites, config=CONFIG):
    return {variant.name: changed(variant, config) for variant in variants(suites, config)}


def test_ablations_are_those_of_table_4():
    assert by_name(["ablation"]) == {
        REFERENCE: {},
        "without auxiliary behaviours": {"input_behaviors": "target"},
        "without multi-task": {"theta": 0.0},
        "without indicators": {"indicators": False},
        "without behaviour encoder": {"num_behavior_blocks": 0},
    }


def test_a_memory_is_taken_away_where_there_is_one():
    configs = by_name(["ablation"], CONFIG.replace(**REMEMBERS))
    assert configs["without memory"] == {"memory": False}


def test_other_models_differ_in_what_they_are_alone():
    sasrec = {"model": "sasrec", "num_sequence_blocks": 2}
    sasrec["alpha"] = {"view": 1.0, "buy": 1.0}
    gbce = {"loss": "gbce", "shared_negatives": True, "num_negatives": 256}
    assert by_name(["main"]) == {
        REFERENCE: {},
        "SASRec": {**sasrec, "input_behaviors": "target"},
        "SASRec, all behaviours": sasrec,
        "gSASRec, all behaviours": {**sasrec, **gbce},
    }


def test_other_models_have_a_memory_where_hmar_has_unless_their_loss_does_not_suit_one():
    """Without it they would be far behind."""
    remember = {
        variant.name: variant.config.model.memory
        for variant in variants(["main"], CONFIG.replace(**REMEMBERS))
    }
    without = [name for name, has_memory in remember.items() if not has_memory]
    assert without == ["gSASRec, all behaviours"] and len(remember) == 4


def test_suites_add_up_and_the_reference_comes_first_and_once():
    names = [variant.name for variant in variants(SUITES, CONFIG)]
    assert names[0] == REFERENCE
    assert len(names) == len(set(names)) == 8
    assert by_name(["protocol"]) == {REFERENCE: {}}
    directories = {variant.directory for variant in variants(SUITES, CONFIG)}
    assert len(directories) == len(names)
    assert all(name.replace("-", "").isalnum() for name in directories)


def test_a_variant_that_changes_nothing_is_left_out():
    names = set(by_name(SUITES, CONFIG.replace(theta=0.0, indicators=False)))
    assert not names & {"without multi-task", "without indicators"}
    configs = by_name(["main"], CONFIG.replace(input_behaviors="target"))
    assert configs["SASRec, all behaviours"]["input_behaviors"] == "all"
    assert "input_behaviors" not in configs["SASRec"]


def test_with_one_behaviour_there_is_nothing_to_take_away():
    config = RunConfig.of(9, Behaviors(("buy",), "buy"), dim=8)
    names = set(by_name(SUITES, config))
    assert not names & {"without auxiliary behaviours", "without multi-task"}
    assert "SASRec, all behaviours" not in names


def test_what_cannot_be_compared_is_named():
    with pytest.raises(InputError, match="unknown suite 'tables'; the suites are main, ablation"):
        variants(["tables"], CONFIG)
    with pytest.raises(InputError, match="leave model=sasrec out"):
        variants(["main"], CONFIG.replace(model="sasrec"))
