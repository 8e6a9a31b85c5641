"""The command end to end, only large enough to show that it works."""

import json

import pytest
import serving_load
from rich.console import Console


@pytest.mark.slow
def test_tiny_load_loses_no_request(tmp_path, capsys):
    path = tmp_path / "load.json"
    sizes = ["--items", "200", "--requests", "40", "--clients", "2", "--calls", "2"]
    serving_load.main([*sizes, "--json", str(path)])
    results = json.loads(path.read_text())
    assert {"items", "clients", "cores", "dim", "length", "table_copies"} <= set(results)
    assert {"recommend to 1", "recommend to 64"} <= set(results["alone"])
    assert list(results["fronts"]) == ["grpc", "rest"]
    for front in results["fronts"].values():
        assert front["failed"] == 0 and front["errors"] == {}
        assert 0 < front["p50"] <= front["p99"] <= front["longest"]
        assert front["per_second"] > 0
        assert {"10", "50", "100"} <= set(front["memory"])
    grpc, rest = results["fronts"].values()
    assert grpc["requests"] >= 40 and rest["requests"] == 4
    assert grpc["swap"]["requests"] > 0
    assert grpc["swap"]["changed"] == grpc["swap"]["asked"]
    assert "swap" not in rest
    printed = capsys.readouterr().out
    assert "requests/s" in printed and "answers changed" in printed


def test_fronts_are_compared_in_turns(capsys):
    rounds = [
        {
            front: {
                **{"requests": 8, "failed": 0, "per_second": rate, "p50": 2.0, "p99": 3.0},
                **{"longest": 4.0, "server_cpu_ms": 1.0, "client_cpu_ms": 0.5},
            }
            for front, rate in rates.items()
        }
        for rates in ({"grpc": 90.0, "rest": 70.0}, {"grpc": 110.0, "rest": 50.0})
    ]
    results = {"items": 9, "dim": 4, "length": 5, "cores": 2, "clients": 3, "in_turns": rounds}
    Console(width=150).print(serving_load.table(results))
    printed = capsys.readouterr().out
    assert "grpc, 3 clients, 2 x 8 requests" in printed
    assert "90 to 110;" in printed and "50 to 70;" in printed
