"""Whether there is a Redis to measure, and if not, why."""

from pathlib import Path

from benchmarks.redis_peer import why_missing


def test_redis_is_there(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "redis-server").touch()
    assert why_missing(tmp_path / "missing", tmp_path) is None


def test_redis_could_not_be_had(tmp_path: Path) -> None:
    reason = tmp_path / "missing"
    reason.write_text("apt-get download failed: no network\n")
    assert why_missing(reason, tmp_path) == "apt-get download failed: no network"


def test_nobody_has_tried_yet(tmp_path: Path) -> None:
    assert why_missing(tmp_path / "missing", tmp_path) == "`make peers` has not been run"
