import pytest
from google.protobuf import text_format

from pipelines.export.rollout import (
    METRICS_PATH,
    Batching,
    Rollout,
    batching_config,
    models_config,
    monitoring_config,
    write_rollout,
)
from pipelines.runtime.errors import InputError

from ..commands import fails
from .serving_protos import BatchingParameters, MonitoringConfig

FILES = ["batching.config", "models.config", "monitoring.config"]


@pytest.fixture
def models(tmp_path):
    """Creates the directories of three versions, and one that is not a version."""
    for name in ("1", "2", "3", ".exporting-x"):
        (tmp_path / "models" / "shop" / name).mkdir(parents=True)
    return tmp_path / "models"


def parse(text):
    config = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    (model,) = text_format.Parse(text, config.ModelServerConfig()).model_config_list.config
    return model


def test_labels_and_versions():
    model = parse(models_config(Rollout("shop", stable=2, canary=3, keep=(1, 2))))
    assert model.name == "shop"
    assert model.base_path == "/models/shop"
    assert model.model_platform == "tensorflow"
    assert list(model.model_version_policy.specific.versions) == [1, 2, 3]
    assert dict(model.version_labels) == {"stable": 2, "canary": 3}


def test_without_a_version_the_latest_is_served():
    model = parse(models_config(Rollout("shop", mounted_at="/srv/")))
    assert model.base_path == "/srv/shop"
    assert model.model_version_policy.latest.num_versions == 1
    assert not model.version_labels


def test_any_name_can_be_written():
    name = 'a "shop" \\ and $more {}'
    model = parse(models_config(Rollout(name, stable=1)))
    assert model.name == name
    assert model.base_path == f"/models/{name}"


def test_one_version_may_have_both_labels():
    model = parse(models_config(Rollout("shop", stable=2, canary=2)))
    assert list(model.model_version_policy.specific.versions) == [2]
    assert dict(model.version_labels) == {"stable": 2, "canary": 2}


@pytest.mark.parametrize(("size", "sizes"), [(1, [1]), (8, [1, 2, 4, 8])])
def test_batching(size, sizes):
    config = text_format.Parse(batching_config(Batching(size, 500, 3)), BatchingParameters())
    assert config.max_batch_size.value == size
    assert list(config.allowed_batch_sizes) == sizes  # the last must be the maximum batch size
    assert config.batch_timeout_micros.value == 500
    assert config.num_batch_threads.value == 3
    assert config.max_enqueued_batches.value >= 3
    assert config.pad_variable_length_inputs


def test_a_timeout_of_nothing_is_written_out():
    """If it were missing, the server would use its own default."""
    config = text_format.Parse(batching_config(Batching(timeout=0)), BatchingParameters())
    assert config.HasField("batch_timeout_micros")
    assert config.batch_timeout_micros.value == 0


def test_monitoring():
    config = text_format.Parse(monitoring_config(), MonitoringConfig())
    assert config.prometheus_config.enable
    assert config.prometheus_config.path == METRICS_PATH


def test_a_version_goes_its_way_and_back(models, tmp_path):
    output = tmp_path / "config"
    for versions in (
        {"stable": 1},
        {"stable": 1, "canary": 2},
        {"stable": 2, "keep": (1,)},
        {"stable": 1, "keep": (2,)},
        {"stable": 2},
    ):
        write_rollout(Rollout("shop", **versions), Batching(), models, output)
        assert dict(parse((output / "models.config").read_text()).version_labels) == {
            label: version for label, version in versions.items() if label != "keep"
        }
        assert sorted(path.name for path in output.iterdir()) == FILES


@pytest.mark.parametrize(
    ("before", "after", "parts"),
    [
        ({"stable": 1}, {"stable": 2}, "load 1, and the label stable .* 2 with --keep"),
        ({"stable": 2}, {"stable": 3, "canary": 2}, "label stable .* 3 with --keep"),
        ({"stable": 1, "canary": 2}, {"stable": 1, "canary": 3}, "label canary .* 3 with --keep"),
    ],
)
def test_a_label_in_use_only_moves_to_what_is_loaded(models, tmp_path, before, after, parts):
    write_rollout(Rollout("shop", **before), Batching(), models, tmp_path / "config")
    text = (tmp_path / "config" / "models.config").read_text()
    with pytest.raises(InputError, match=parts):
        write_rollout(Rollout("shop", **after), Batching(8), models, tmp_path / "config")
    assert (tmp_path / "config" / "models.config").read_text() == text
    assert "value: 64" in (tmp_path / "config" / "batching.config").read_text()


def test_labels_may_begin_anywhere(models, tmp_path):
    write_rollout(Rollout("shop"), Batching(), models, tmp_path)
    write_rollout(Rollout("shop", stable=2), Batching(), models, tmp_path)
    write_rollout(Rollout("shop", stable=2, canary=3), Batching(), models, tmp_path)


def test_another_models_file_is_kept(models, tmp_path):
    (models / "films" / "1").mkdir(parents=True)
    write_rollout(Rollout("shop", stable=1), Batching(), models, tmp_path)
    with pytest.raises(InputError, match="not serve the model films alone"):
        write_rollout(Rollout("films", stable=1), Batching(), models, tmp_path)
    assert parse((tmp_path / "models.config").read_text()).name == "shop"


@pytest.mark.parametrize("content", [b"\xff", b"model_config_list {", b"nonsense: 1"])
def test_a_file_that_cannot_be_read_is_kept(models, tmp_path, content):
    (tmp_path / "models.config").write_bytes(content)
    with pytest.raises(InputError, match=r"models\.config cannot be read"):
        write_rollout(Rollout("shop", stable=1), Batching(), models, tmp_path)
    assert (tmp_path / "models.config").read_bytes() == content


def test_the_command(hmar):
    for version in (1, 2):
        (hmar.home / "saved_models" / "shop" / str(version)).mkdir(parents=True)
    asked = ("rollout", "--name", "shop", "--output", "config")
    process = hmar(*asked, "--stable", 1, "--canary", 2, "--max-batch-size", 16, "--keep", 1)
    assert process.returncode == 0, process.stderr
    assert "config/models.config" in process.stderr
    model = parse((hmar.home / "config" / "models.config").read_text())
    assert dict(model.version_labels) == {"stable": 1, "canary": 2}
    assert "max_batch_size { value: 16 }" in (hmar.home / "config" / "batching.config").read_text()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--stable", 3], ["no version 3", "it has 1, 2"]),
        (["--stable", 1, "--canary", 7], ["no version 7"]),
        (["--stable", 1, "--keep", 9], ["no version 9"]),
        (["--canary", 2], ["--stable"]),
        (["--keep", 2], ["--stable"]),
        (["--stable", 1, "--max-batch-size", 12], ["12", "power of two"]),
        (["--models", "elsewhere"], ["elsewhere", "no exported model", "--models"]),
        (["--output", "file/below"], ["file/below", "cannot be written"]),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(hmar, arguments, parts):
    for version in (1, 2):
        (hmar.home / "saved_models" / "shop" / str(version)).mkdir(parents=True, exist_ok=True)
    (hmar.home / "file").touch()
    fails(hmar("rollout", "--name", "shop", "--output", "refused", *arguments), *parts)
    assert not (hmar.home / "refused").exists()
