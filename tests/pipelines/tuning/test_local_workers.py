import pytest

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
