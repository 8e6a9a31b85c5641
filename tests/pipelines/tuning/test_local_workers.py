import pytest

from pipelines.runtime.errors import InputError
from pipelines.tuning import local_workers


@pytest.mark.parametrize(("workers", "share"), [(1, None), (2, "2"), (3, "1"), (9, "1")])
def test_workers_share_the_threads_and_one_alone_has_all(monkeypatch, tmp_path, workers, share):
    started = []
    monkeypatch.setattr(local_workers, "cores", lambda: 5)
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(
        local_workers.subprocess, "Popen", lambda command, env, **how: started.append(env)
    )
    local_workers.LocalWorkers(tmp_path, workers, ("127.0.0.1", "1"), 1).start()
    assert len(started) == workers
    for env in started:
        assert env.get("TF_NUM_INTRAOP_THREADS") == share
        assert env.get("TF_NUM_INTEROP_THREADS") == share


def test_a_worker_that_says_why_it_ends_is_not_started_again(monkeypatch, tmp_path):
    command = "import sys; print('hmar: the disk is full.'); sys.exit(2)"
    popen = local_workers.subprocess.Popen
    monkeypatch.setattr(
        local_workers.subprocess,
        "Popen",
        lambda _, **how: popen([local_workers.sys.executable, "-c", command], **how),
    )
    workers = local_workers.LocalWorkers(tmp_path, 1, ("127.0.0.1", "1"), 1)
    workers.start()
    workers._running[0].wait()
    with pytest.raises(InputError, match=r"^the disk is full\.$"):
        workers.look()
