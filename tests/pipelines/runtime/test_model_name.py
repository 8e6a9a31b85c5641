"""Names of models, and every command that takes one."""

import pytest

from pipelines.runtime.errors import InputError
from pipelines.runtime.model_name import check_model_name

from ..commands import fails

BAD = ["", ".", "..", "../escaped", "a/b", "1", "007", ".hidden", "-x", "a b", "n\xe9", "a\n"]
HISTORY = ["--history", "3:view"]
PORTS = ["--port", 0, "--rest-port", 0]


@pytest.mark.parametrize("name", ["shop", "synthetic_shop-tiny", "log-my_shop", "2024-06.v2", "a"])
def test_a_sound_name(name):
    assert check_model_name(name) == name


@pytest.mark.parametrize("name", [*BAD, "\u0661", "a" * 101])
def test_a_name_that_would_lead_elsewhere(name):
    with pytest.raises(InputError, match=r"is not a valid model name; give --name at most"):
        check_model_name(name)


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize(
    "command",
    [
        ["export", "run", "--name"],
        ["rollout", "--output", "rollout", "--name"],
        ["serve", "--model", ".", *PORTS, "--name"],
        ["client", *HISTORY, "--model"],
    ],
    ids=lambda command: command[0],
)
def test_commands_refuse_it_before_anything_else(hmar, command, name):
    (hmar.home / "1").mkdir(exist_ok=True)
    words = f"give {command[-1]} at most"
    fails(hmar(*command, name), "is not a valid model name", words)
    assert [path.name for path in hmar.home.iterdir()] == ["1"]


def test_a_directory_of_another_name_needs_a_name_to_be_served(hmar, tmp_path):
    (tmp_path / "my shop" / "1").mkdir(parents=True)
    fails(hmar("serve", "--model", tmp_path / "my shop", *PORTS), "'my shop'", "give --name")
