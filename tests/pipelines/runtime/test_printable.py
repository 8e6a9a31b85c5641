"""Text that is not UTF-8 is refused, and control characters never reach a terminal."""

import json

import pyarrow as pa
import pyarrow.parquet
import pytest

from pipelines.cli.history_text import format_history, parse_history
from pipelines.datasets.event_log.files import find_files
from pipelines.runtime import terminal
from pipelines.runtime.cache_directory import cache_directory
from pipelines.runtime.errors import InputError
from pipelines.runtime.printable import check_text, printable
from pipelines.storage.json_text import parse_json

from ..commands import fails

LATIN = "caf\udce9"  # how Python represents the byte E9 on the command line
LOG = ["--user", "user", "--item", "item"]
COLORED, TURNED = "red\x1b[31m", "a\u202eb"


def test_control_characters_become_visible():
    assert printable(f"{COLORED} {TURNED} {LATIN}\t\r\n") == (r"red\x1b[31m a\u202eb caf\xe9\t\r\n")
    for text in ("plain", "n\xe9e \u6f22\u5b57 \u2126", "\u0645\u06cc\u200c\u0631", r"a\b"):
        assert printable(text) == text


def test_text_that_is_not_utf_8_is_refused():
    check_text("n\xe9", "the name")
    with pytest.raises(InputError, match=r"the name 'caf\\xe9' is not UTF-8 text; rename it"):
        check_text(LATIN, "the name")


@pytest.mark.parametrize(
    "command",
    [
        ["recommend", "--model", "nowhere", "--history", f"{LATIN}:view"],
        ["client", "--model", "shop", "--history", f"{LATIN}:view"],
        ["train", "--output", f"runs/{LATIN}"],
        ["export", "run", "--name", LATIN],
        ["data", "prepare", "--log", f"{LATIN}.csv", *LOG],
        ["report", LATIN],
    ],
    ids=lambda command: command[0],
)
def test_an_argument_that_is_not_utf_8(hmar, command):
    fails(hmar(*command), r"caf\xe9", "is not UTF-8 text")


def test_a_file_of_a_log_whose_name_is_not_utf_8(tmp_path):
    try:
        (tmp_path / f"{LATIN}.csv").write_text("user,item\nu,i\n")
    except OSError:
        pytest.skip("this file system has no such names")
    for pattern in (tmp_path, tmp_path / "*.csv"):
        with pytest.raises(InputError, match=r"the name of the log '.*caf\\xe9\.csv' is not UTF-8"):
            find_files([str(pattern)])


def test_a_parquet_column_whose_name_is_not_utf_8(hmar, tmp_path):
    path = tmp_path / "log.parquet"
    pyarrow.parquet.write_table(pa.table({"user": ["u"], "item": ["i"], "caXe": ["x"]}), path)
    path.write_bytes(path.read_bytes().replace(b"caXe", b"ca\xe9e"))
    fails(hmar("data", "prepare", "--log", path, *LOG), str(path), "cannot be read as parquet")


@pytest.mark.parametrize("text", ["a\ud800", '{"a": "\\ud800"}', '["\\udce9"]'])
def test_half_a_character_in_json(text):
    with pytest.raises(ValueError, match=r"unpaired|Expecting"):
        parse_json(text)
    with pytest.raises(InputError, match="list of pairs"):
        parse_history('[["\\ud800", "view"]]', ["view"])


@pytest.mark.parametrize("depth", [60, 900, 100_000])
def test_json_that_is_nested_too_deeply(hmar, tmp_path, depth):
    deep = "[" * depth + "]" * depth
    with pytest.raises(ValueError, match=r"nested (too deeply|more than 50)"):
        parse_json(deep)
    tiny = ["--dataset", "synthetic_shop/tiny", "--output", tmp_path / "run"]
    fails(hmar("train", *tiny, "--set", f"dim={deep}"), "--set dim is not valid JSON", "nested")
    (tmp_path / "deep.json").write_text(json.dumps({"dim": 1}).replace("1", deep))
    fails(hmar("train", *tiny, "--config", tmp_path / "deep.json"), "deep.json", "nested")
    fails(hmar("tune", *tiny, "--space", tmp_path / "deep.json"), "deep.json", "nested")
    history = ["--model", "shop", "--rest", "127.0.0.1:9", "--history", deep]
    fails(hmar("client", *history))


def test_a_deep_line_of_a_log(hmar, tmp_path):
    (tmp_path / "log.jsonl").write_text(f'{{"user": "u", "item": {"[" * 100_000}')
    fails(hmar("data", "prepare", "--log", tmp_path / "log.jsonl", *LOG), "line 1: this is not")
    fails(hmar("evaluate", "run", HMAR_IMPORT='["a.py'), "HMAR_IMPORT", "not a list of files")


def test_more_items_than_there_are_numbers(hmar):
    for command in ("recommend", "client"):
        asked = ["--model", "shop", "--history", "a:view", "-k", 1 << 31]
        process = hmar(command, *asked)
        assert process.returncode == 2
        assert "2147483647" in process.stderr
        assert "Traceback" not in process.stderr


def test_errors_and_messages_are_printable(hmar, capsys):
    fails(hmar("report", COLORED), r"red\x1b[31m is not the directory")
    terminal.say(f"{COLORED}\n{TURNED}")
    assert capsys.readouterr().err == "red\\x1b[31m\na\\u202eb\n"


def test_answers_are_printable(capsys):
    terminal.print_answer([(COLORED, 1.0), (TURNED, 0.5), ("tab\t", 0.25)])
    assert capsys.readouterr().out == ("red\\x1b[31m\t1.0000\na\\u202eb\t0.5000\ntab\\t\t0.2500\n")


def test_the_example_history_is_printable_and_the_same():
    history = [(COLORED, "view"), (TURNED, "view")]
    text = format_history(history)
    assert printable(text) == text
    assert parse_history(text, ["view"]) == history


def test_names_in_tables_are_printable(hmar, tmp_path):
    rows = "".join(f"u{n},i{n % 3},vi\x1b[31mew\nu{n},i{n % 2},b\u202euy\n" for n in range(9))
    (tmp_path / "log.csv").write_text(f"user,item,kind\n{rows}", encoding="utf-8")
    described = ["--log", tmp_path / "log.csv", *LOG, "--behavior", "kind"]
    target = ["--target", "b\u202euy", "--output", tmp_path / "log.png"]
    process = hmar("data", "describe", *described, *target)
    assert process.returncode == 0, process.stderr
    for text in (process.stdout, process.stderr):
        assert r"vi\x1b[31mew" in text
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_the_cache_directory(tmp_path):
    assert cache_directory(tmp_path / "c*[x]#") == tmp_path / "c*[x]#"
    with pytest.raises(InputError, match=r"has a '\?' in its name; choose another with HMAR_CACHE"):
        cache_directory(tmp_path / "c?x")
    with pytest.raises(InputError, match=r"caf\\xe9' is not UTF-8"):
        cache_directory(tmp_path / LATIN)
