"""The soak test end to end with few requests, and how it counts their outcomes."""

import http.client

import pytest
import soak
from soak_connections import Tally, ask_once


@pytest.mark.slow
def test_a_short_soak_meets_its_requirements(capsys):
    sizes = ["--items", "100", "--requests", "200", "--connections", "60", "--versions", "3"]
    # Memory has not levelled off after so few requests.
    soak.main([*sizes, "--growth", "100"])
    printed = capsys.readouterr().out
    rows = {line.strip().partition("  ")[0]: line.split() for line in printed.splitlines()}
    assert rows["lost"][1:] == ["0", "0"]
    assert "2 of 2; 1 of 1 broken ones left alone" in printed
    assert rows["/healthz"][1:] == ["200", "200"]


@pytest.mark.parametrize(
    ("error", "refused", "lost"),
    [
        (http.client.HTTPException("HTTP 400"), 1, {}),
        (http.client.HTTPException("HTTP 500"), 0, {"HTTP 500": 1}),
        (ConnectionResetError(), 0, {"ConnectionResetError": 1}),
    ],
)
def test_an_error_is_a_refusal_or_a_loss(error, refused, lost):
    def ask():
        raise error

    tally = Tally()
    ask_once(tally, ask)
    assert (tally.answered, tally.refused, tally.lost) == (0, refused, lost)
    assert (tally + tally).requests == 2


def test_what_is_not_met_is_said():
    tally = Tally(answered=5, lost={"HTTP 500": 1})
    failures = soak._failures(tally, "503", (100.0, 120.0), growth=10)
    assert [text.split()[0] for text in failures] == ["requests", "/healthz", "memory"]
    assert soak._failures(Tally(5), "200", (100.0, 105.0), growth=10) == []
