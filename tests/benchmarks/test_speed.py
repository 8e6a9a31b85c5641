"""The command end to end, only large enough to show that it works."""

import json

import numpy as np
import operations
import pytest
import speed
from measuring import Limit, Row


@pytest.mark.slow
def test_quick_run_prints_and_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HMAR_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "speed.json"
    command = ["--quick", "--only", "roofline,evaluation", "--repeats", "2"]
    speed.main([*command, "--json", str(path)])
    results = json.loads(path.read_text())
    assert list(results) == ["roofline", "evaluation"]
    rows = {row["name"]: row for section in results.values() for row in section}
    keys = {"median", "low", "high", "samples", "unit", "reference", "ratio", "limit", "met"}
    assert all(keys <= set(row) for row in rows.values())
    assert all(np.isfinite(row["samples"]).all() for row in rows.values())
    assert len(rows["train_step"]["samples"]) == 2
    wanted = {"train_step", "real positions", "behaviour encoder", "optimiser", "full"}
    assert wanted <= set(rows)
    printed = capsys.readouterr().out
    assert "behaviour encoder" in printed and "users/s" in printed


def test_unknown_section_is_refused(capsys):
    with pytest.raises(SystemExit):
        speed.main(["--only", "step,steps"])
    assert "no such section: steps" in capsys.readouterr().err


def test_less_than_one_is_refused(capsys):
    with pytest.raises(SystemExit):
        speed.main(["--only", "step", "--repeats", "0"])
    assert "must be at least 1" in capsys.readouterr().err


def test_every_section_exists():
    for _, functions in speed.SECTIONS.values():
        for function in functions:
            assert callable(speed.section_function(function))


def test_row():
    reference = Row("slow", "ms", [20.0, 40.0, 30.0])
    row = Row("fast", "ms", [3.0, 2.0, 9.0], reference, Limit("ratio", most=0.1)).to_dict()
    assert (row["median"], row["low"], row["high"]) == (3.0, 2.0, 9.0)
    assert (row["reference"], row["ratio"], row["met"]) == ("slow", 0.1, True)
    assert not Row("rate", "1/s", [5.0], None, Limit("median", least=6.0)).to_dict()["met"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gradient_tape/hmar/MatMul_1:MatMul", "matrix products"),
        ("hmar/dense/MatMul:_MklNativeFusedMatMul", "matrix products"),
        ("hmar/attention/MatMul:BatchMatMulV2", "batched products"),
        ("hmar/attention/MatMul:_MklBatchMatMulV2", "batched products"),
        ("lazy_adam/ResourceScatterUpdate:ResourceScatterUpdate", "optimiser"),
        ("hmar/dropout/stateless_random_uniform:StatelessRandomUniformIntV2", "random numbers"),
        ("hmar/item_table/ResourceGather:ResourceGather", "rows looked up and summed"),
        ("hmar/attention/Softmax:Softmax", "softmax"),
        ("hmar/mul:Mul", "elementwise and sums"),
    ],
)
def test_kinds_of_operations(name, kind):
    assert operations.kind(name) == kind


def test_what_is_inside_an_operation_counts_once():
    events = [(0, 10, "a:Outer"), (2, 3, "b:Inner"), (12, 4, "c:Next")]
    assert operations.own_times(events) == [("a:Outer", 7), ("b:Inner", 3), ("c:Next", 4)]
