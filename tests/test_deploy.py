"""The files in `deploy/` are well formed, explained, and equal to what the commands write."""

import contextlib
import http.server
import json
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from typer.main import get_command

from pipelines.cli.app import app
from pipelines.export.rollout import (
    METRICS_PATH,
    Batching,
    Rollout,
    batching_config,
    models_config,
    monitoring_config,
)
from pipelines.tuning import search

DEPLOY = Path(__file__).parent.parent / "deploy"
README = (DEPLOY / "README.md").read_text()
HISTORY = "12:view,7:cart,3:view"
needs_curl = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl", "python3"))), reason="needs bash, curl, python3"
)


def documents(path):
    yaml = pytest.importorskip("yaml")
    return list(yaml.safe_load_all(path.read_text()))


def compose():
    (document,) = documents(DEPLOY / "compose.yaml")
    return document["services"]


def manifests():
    found = [doc for path in sorted((DEPLOY / "kubernetes").iterdir()) for doc in documents(path)]
    return {document["kind"]: document for document in found}


def container():
    (container,) = manifests()["Deployment"]["spec"]["template"]["spec"]["containers"]
    return container


def test_the_examples_are_what_hmar_rollout_writes():
    assert (DEPLOY / "models.config").read_text() == models_config(Rollout("shop", 1, 2))
    assert (DEPLOY / "batching.config").read_text() == batching_config(Batching())
    assert (DEPLOY / "monitoring.config").read_text() == monitoring_config()


def test_compose_serves_with_and_without_a_gpu():
    gpu, cpu = compose()["serving-gpu"], compose()["serving-cpu"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert gpu["image"].endswith("-gpu")
    assert not cpu["image"].endswith("-gpu")
    assert "deploy" not in cpu
    for service in (gpu, cpu):
        assert {volume.split(":")[-2] for volume in service["volumes"]} == {"/models", "/config"}


def test_every_file_a_flag_names_is_written_by_hmar_rollout():
    commands = [service["command"] for service in compose().values()] + [container()["args"]]
    for command in commands:
        files = [Path(flag.split("=")[1]) for flag in command if "=/" in flag]
        assert {path.name for path in files} == {path.name for path in DEPLOY.glob("*.config")}
        assert {str(path.parent) for path in files} == {"/config"}


def test_every_flag_is_explained():
    commands = [service["command"] for service in compose().values()] + [container()["args"]]
    for flag in {flag.split("=")[0] for command in commands for flag in command}:
        assert f"| `{flag}` |" in README


def test_every_batching_parameter_is_explained():
    for name in re.findall(r"^(\w+)", (DEPLOY / "batching.config").read_text(), re.MULTILINE):
        assert f"| `{name}` |" in README


def test_the_manifests_fit_each_other():
    kinds = manifests()
    deployment = kinds["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels == kinds["Service"]["spec"]["selector"]
    ports = {port["name"] for port in container()["ports"]}
    assert {port["targetPort"] for port in kinds["Service"]["spec"]["ports"]} <= ports
    assert container()["resources"]["limits"]["nvidia.com/gpu"] == 1
    volumes = {volume["name"]: volume for volume in deployment["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in container()["volumeMounts"]} == set(volumes)
    claim = volumes["models"]["persistentVolumeClaim"]["claimName"]
    assert claim == kinds["PersistentVolumeClaim"]["metadata"]["name"]
    assert f"create configmap {volumes['config']['configMap']['name']} " in README
    target = kinds["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target["name"] == kinds["Deployment"]["metadata"]["name"]
    annotations = deployment["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] == METRICS_PATH
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container()[probe]["httpGet"]["path"].startswith("/v1/models/shop")
        assert container()[probe]["httpGet"]["port"] in ports


def test_the_readme_names_commands_that_exist():
    commands = get_command(app).commands
    asked = re.findall(r"^hmar .*|`hmar \w+ -[^`]*`", README, re.MULTILINE)
    assert len(asked) >= 6
    for line in asked:
        name, *options = line.strip("`").removeprefix("hmar ").split()
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert {option for option in options if option.startswith("-")} <= known


def answer(row):
    """Returns a recommendation that depends only on the history."""
    events = [item for item in row["items"] if item]
    items = [f"{events[-1]}-{len(events)}-{rank}" for rank in range(row["k"])]
    return {"items": items, "scores": [1.0 - 0.1 * rank for rank in range(row["k"])], "unknown": 0}


@contextlib.contextmanager
def server(change=lambda row, answer: answer, state="AVAILABLE", status=200):
    """Runs a server with the three REST routes, and gives its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            inputs = {key: {} for key in ("items", "behaviors", "k", "exclude_seen")}
            signatures = {"signature_def": {"recommend": {"inputs": inputs}}}
            self.reply(
                {
                    "/v1/models/shop/labels/stable": {
                        "model_version_status": [{"version": "1", "state": state}]
                    },
                    "/v1/models/shop/labels/stable/metadata": {
                        "metadata": {"signature_def": signatures}
                    },
                }[self.path]
            )

        def do_POST(self):
            assert self.path == "/v1/models/shop/labels/stable:predict"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.reply({"predictions": [change(row, answer(row)) for row in body["instances"]]})

        def reply(self, content):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *arguments):
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 64  # with the default of 5, a busy machine resets connections

    http_server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http_server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http_server.server_port}"
    finally:
        http_server.shutdown()
        http_server.server_close()
        thread.join()


def smoke(url, *others):
    command = ["bash", str(DEPLOY / "smoke_test.sh"), url, "shop", HISTORY, "stable", *others]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@needs_curl
def test_the_smoke_test_passes_where_all_is_well():
    with server() as url:
        process = smoke(url)
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[-1] == "all checks passed"


def upside_down(row, answer):
    return {**answer, "scores": answer["scores"][::-1]}


def the_same_item(row, answer):
    return {**answer, "items": answer["items"][:1] * row["k"]}


def nothing(row, answer):
    return {**answer, "items": [""] * row["k"]}


class Moody:
    """Answers differently after a few requests, as if other requests' padding leaked in."""

    def __init__(self):
        self.count = 0

    def __call__(self, row, answer):
        self.count += 1
        return {**answer, "items": answer["items"][::-1]} if self.count > 8 else answer


@pytest.mark.process
@needs_curl
@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"change": upside_down}, "best comes first"),
        ({"change": the_same_item}, "different items"),
        ({"change": nothing}, "different items"),
        ({"change": Moody()}, "at the same time"),
        ({"state": "LOADING"}, "no version is available"),
        ({"status": 404}, "404"),
    ],
)
def test_the_smoke_test_fails_where_something_is_wrong(options, part):
    with server(**options) as url:
        process = smoke(url)
    assert process.returncode != 0
    assert part in process.stderr
    assert "Traceback" not in process.stderr
    assert "all checks passed" not in process.stdout


@needs_curl
def test_the_smoke_test_fails_where_nobody_answers():
    with server() as url:
        pass
    assert smoke(url).returncode != 0


@needs_curl
@pytest.mark.parametrize(("status", "healthy"), [(200, True), (404, False)])
def test_the_health_check_of_compose(status, healthy):
    *command, script = compose()["serving-gpu"]["healthcheck"]["test"][1:]
    with server(status=status) as url:
        script = script.replace("$$", "$").replace("8501", url.rpartition(":")[2])
        process = subprocess.run([*command, script], capture_output=True, text=True, timeout=30)
    assert (process.returncode == 0) is healthy, process.stderr


def tuning(name):
    """Returns the manifest of a kind and role, and its container's environment."""
    found = [doc for doc in documents(DEPLOY / "tuning.yaml") if doc["metadata"]["name"] == name]
    (container,) = found[0]["spec"]["template"]["spec"]["containers"]
    values = {each["name"]: each.get("value") for each in container["env"]}
    return found[0], container, values


def test_a_search_on_kubernetes_has_a_chief_and_workers_that_find_it(monkeypatch):
    chief, chief_container, chiefs = tuning("hmar-tuning-chief")
    workers, _, workers_values = tuning("hmar-tuning-workers")
    roles = []
    for values in (chiefs, workers_values):
        for name, value in values.items():
            if name.startswith("KERASTUNER_"):
                monkeypatch.setenv(name, value)
        roles.append(search.role())
    assert roles == ["chief", "worker"]
    (service,) = [doc for doc in documents(DEPLOY / "tuning.yaml") if doc["kind"] == "Service"]
    assert service["metadata"]["name"] == workers_values["KERASTUNER_ORACLE_IP"]
    assert service["spec"]["selector"] == chief["spec"]["template"]["metadata"]["labels"]
    ports = {
        service["spec"]["ports"][0]["targetPort"],
        chief_container["ports"][0]["containerPort"],
    }
    ports |= {int(values["KERASTUNER_ORACLE_PORT"]) for values in (chiefs, workers_values)}
    assert len(ports) == 1
    assert workers["spec"]["completionMode"] == "Indexed"
    assert workers["spec"]["completions"] == workers["spec"]["parallelism"]


def test_a_search_on_kubernetes_shares_one_directory_and_goes_on_after_a_restart():
    parsed = []
    for name in ("hmar-tuning-chief", "hmar-tuning-workers"):
        job, container, _ = tuning(name)
        assert job["spec"]["template"]["spec"]["restartPolicy"] == "OnFailure"
        (mount,) = container["volumeMounts"]
        command = container["command"]
        output = Path(command[command.index("--output") + 1])
        assert output.is_relative_to(mount["mountPath"])
        parsed.append((output, "--resume" in command, "--overwrite" in command))
        options = command[2:]
        known = {
            option for each in get_command(app).commands["tune"].params for option in each.opts
        }
        assert command[:2] == ["hmar", "tune"]
        assert {option for option in options if option.startswith("--")} <= known
    (chiefs, resumes, _), (workers, _, _) = parsed
    assert chiefs == workers
    assert resumes
    assert not any(overwrites for _, _, overwrites in parsed)
