"""The command from end to end, at a size that shows only that it works."""

import json

import serving_load


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
