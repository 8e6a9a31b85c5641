import pytest

from hmar_keras.schema import Behaviors
from pipelines.experiments.suites import REFERENCE, SUITES, variants
from pipelines.runtime.errors import InputError
from pipelines.training.run_config import RunConfig

CONFIG = RunConfig.of(9, Behaviors(("view", "buy"), "buy"), dim=8)


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


def test_item_neighbors_are_taken_away_where_there_are_some():
    configs = by_name(["ablation"], CONFIG.replace(num_neighbors=9))
    assert configs["without item neighbours"] == {"num_neighbors": 0}


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


def test_other_models_have_neighbors_where_hmar_has():
    """HMAR's settings are tuned with neighbours; without them the others would be far behind."""
    config = CONFIG.replace(num_neighbors=9, learning_rate=3e-4)
    for variant in variants(["main"], config):
        assert variant.config.model.num_neighbors == 9


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
