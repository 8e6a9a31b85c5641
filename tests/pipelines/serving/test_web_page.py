"""The page in headless Chromium: a user builds a history and gets the export's answers."""

import json
import queue
import re
import shutil
import subprocess

import pytest
from werkzeug.test import Client as WsgiClient
from werkzeug.wrappers import Response

from pipelines.description.reason_text import reason_text
from pipelines.export import export
from pipelines.export.loaded_export import Recommender
from pipelines.export.warmup import real_histories
from pipelines.protocol.splits import split
from pipelines.protocol.training_counts import item_popularity
from pipelines.serving import web_page
from pipelines.serving.rest_server import RestServer
from pipelines.serving.rest_service import RestService
from pipelines.serving.served_model import ServedModel
from pipelines.serving.server import _bind
from pipelines.serving.web_page import WebPage

from ..exports import memory_model
from ..report.browser import CHROMIUM

pytestmark = pytest.mark.slow

# Uses the page in a frame like a user, and posts what it sees.
_USER = """<!doctype html><meta charset="utf-8"><iframe id="frame" style="width: %(width)dpx;
height: 900px; border: 0"></iframe><script>
const frame = document.getElementById("frame"), seen = [];
const page = () => frame.contentDocument;
const answered = async (number) => {
  for (let i = 0; i < 600 && page().body.dataset.answered !== String(number); i++)
    await new Promise((go) => setTimeout(go, 50));
};
const texts = (rows) => [...rows].map((row) => [...row.cells].map((cell) => cell.textContent));
const shown = (id) => page().getElementById(id).hidden ? "" : page().getElementById(id).textContent;
const look = () => seen.push({
  answer: texts(page().querySelector("#answer tbody").rows),
  why: texts(page().querySelector("#seen tbody").rows),
  head: [...page().querySelectorAll("#seen th")].map((cell) => cell.textContent),
  hidden: page().getElementById("why").hidden,
  unknown: shown("unknown"), error: shown("error"),
  title: page().title, wide: page().documentElement.scrollWidth - %(width)d,
});
const add = (item, behavior) => {
  page().getElementById("item").value = item;
  page().getElementById("behavior").value = behavior;
  page().querySelector("#add button").click();
};
frame.onload = async () => {
  await answered(1); look();
  add("i3", "view"); await answered(2);
  add("i3", "cart"); await answered(3); look();
  page().getElementById("exclude").click(); await answered(4); look();
  add("<b>i&5</b>", "buy"); await answered(5); look();
  page().getElementById("clear").click(); await answered(6);
  page().getElementById("example").click(); await answered(7); look();
  page().querySelector("#events button").click(); await answered(8); look();
  fetch("/found", {method: "POST", body: JSON.stringify(seen)});
};
frame.src = "/";
</script>"""


@pytest.fixture(scope="module")
def version(log, tmp_path_factory):
    model = memory_model(log)
    directory = tmp_path_factory.mktemp("models") / "shop"
    histories = real_histories(log, 4)
    return export(model, log.items, item_popularity(split(log)), directory, {}, histories)


@pytest.fixture(scope="module")
def application(version):
    model = ServedModel(version.parent)
    model.start()
    yield WebPage(model, RestService(model))
    model.stop()


@pytest.fixture(scope="module")
def address(application):
    """Serves the page and the user's script; gives the address, and a queue of what that found."""
    found = queue.Queue()

    def with_user(environ, start_response):
        if environ["PATH_INFO"] == "/found":
            found.put(json.loads(environ["wsgi.input"].read()))
            return Response("")(environ, start_response)
        user = re.fullmatch(r"/user-(\d+)", environ["PATH_INFO"])
        if not user:
            return application(environ, start_response)
        page = _USER % {"width": int(user[1])}
        return Response(page, mimetype="text/html")(environ, start_response)

    listener = _bind("127.0.0.1", 0, "")
    server = RestServer(with_user, listener, threads=4)
    server.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", found
    server.stop(5)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_user_builds_a_history(address, version, log, tmp_path, width):
    place, found = address
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--remote-debugging-port=0"]
    command += ["--enable-logging=stderr", f"{place}/user-{width}"]
    errors = tmp_path / "errors"
    with errors.open("w") as file, subprocess.Popen(command, stderr=file) as browser:
        try:
            stranger, two, new, strange, example, shorter = found.get(timeout=120)
        finally:
            browser.kill()
    assert not [line for line in errors.read_text().splitlines() if "CONSOLE" in line]
    assert all(not step["error"] and step["wide"] <= 0 for step in (stranger, two, new, strange))

    recommender = Recommender(version)
    history = [("i3", "view"), ("i3", "cart")]
    for step, exclude in ((two, False), (new, True)):
        expected = recommender(history, 10, exclude)
        got = [(row[1], row[2]) for row in step["answer"]]
        assert got == [(item, f"{score:.2f}") for item, score in expected]
        assert all(re.fullmatch(r"(view|cart|buy) \([\d.]+ %\)", row[3]) for row in step["answer"])
        reasons = recommender.reasons(history, [item for item, _ in expected])
        assert [row[4] for row in step["answer"]] == [reason_text(each) for each in reasons]
    assert "you: view, cart, the newest event" in [row[4] for row in two["answer"]]
    assert [row[1] for row in stranger["answer"]] == [item for item, _ in recommender([], 10)]
    assert stranger["hidden"]
    assert stranger["title"] == "shop · hmar serve"

    # Newest first: what had been done to the item up to then.
    assert two["head"][:5] == ["item", "behaviour", "view so far", "cart so far", "buy so far"]
    assert [row[:5] for row in two["why"]] == [
        ["i3", "cart", "1", "1", "0"],
        ["i3", "view", "1", "0", "0"],
    ]
    assert [row[5] for row in two["why"]] == ["100 %", "100 %"]  # the only one of its behaviour
    assert strange["unknown"] == "The model does not know 1 of these events."
    assert [row[1] for row in strange["answer"]] == [row[1] for row in new["answer"]]
    places = {row[1]: row[0] for row in strange["answer"]}
    assert [row[5] for row in strange["answer"]] == list(places.values())  # nothing has moved
    first = real_histories(log, 4)[0]
    assert [(row[0], row[1]) for row in example["why"]] == first[::-1]
    assert [(row[0], row[1]) for row in shorter["why"]] == first[:0:-1]


def test_the_catalogue_is_searched(application, log):
    client = WsgiClient(application)
    found = client.get("/catalogue?begins=i2").get_json()["items"]
    assert found == sorted(item for item in log.items.tolist() if item.startswith("i2"))
    assert client.get("/catalogue?begins=zzz").get_json()["items"] == []
    assert client.get("/catalogue").get_json()["items"] == sorted(log.items.tolist())[:50]


def test_other_requests_are_handed_on(application):
    client = WsgiClient(application)
    assert client.get("/v1/models/shop").get_json()["model_version_status"]
    assert client.get("/elsewhere").status_code == 404
    assert client.post("/model").status_code == 404


def test_nothing_is_loaded_from_elsewhere(application):
    client = WsgiClient(application)
    for path in ("/", "/page.js", "/page.css"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert "://" not in answer.text


@pytest.mark.parametrize(
    ("host", "name", "status"),
    [
        ("127.0.0.1", "localhost:8501", 200),
        ("127.0.0.1", "LOCALHOST.", 200),
        ("127.0.0.1", "127.0.0.1:8501", 200),
        ("127.0.0.1", "[::1]:8501", 200),
        ("127.0.0.1", "evil.example:8501", 403),
        ("127.0.0.1", "localhost.evil.example", 403),
        ("127.0.0.1", "192.0.2.1", 403),
        ("127.0.0.1", "", 403),
        ("shop.example", "shop.example:8501", 200),
        ("shop.example", "evil.example", 403),
        ("0.0.0.0", "192.0.2.1:8501", 200),
        ("0.0.0.0", "evil.example", 403),
    ],
)
def test_only_names_of_this_server_are_answered(application, host, name, status):
    page = WebPage(application._model, application._others, host)
    for path in ("/", "/catalogue", "/model", "/v1/models/shop"):
        answer = WsgiClient(page).get(path, headers={"Host": name})
        assert answer.status_code == status
        assert status == 200 or "--host" in answer.get_json()["error"]


def test_the_page_says_that_the_files_are_gone(version, tmp_path):
    copy = shutil.copytree(version, tmp_path / "shop" / "007")
    model = ServedModel(copy.parent)
    model.refresh()
    client = WsgiClient(WebPage(model, RestService(model)))
    assert client.get("/model").get_json()["version"] == 7
    shutil.rmtree(copy)
    web_page._sorted_items.cache_clear()
    for path in ("/model", "/catalogue?begins=i"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "files" in answer.get_json()["error"]
