"""`python -m benchmarks.memory` beside the real beanstalkd."""

import json
from pathlib import Path

import pytest

from benchmarks import memory
from tests.peers import require_peer

pytestmark = pytest.mark.any_build


def test_the_memory_command_measures_both_servers_and_the_collector(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_peer("beanstalkd")
    target = tmp_path / "memory.json"
    words = ["--jobs", "8000", "--churn-minutes", "0.01", "--json", str(target)]
    assert memory.main(words) == 0
    told = capsys.readouterr().out
    assert "8,000 jobs of  100 bytes" in told
    found = json.loads(target.read_text())["memory"]
    sides = [(one["name"], one["body_bytes"], one["jobs"]) for one in found["levels"]]
    assert sides == [
        *[(name, 100, 8000) for name in ("beanstalkd", "beanrow")],
        *[(name, 1024, 2000) for name in ("beanstalkd", "beanrow")],
    ]
    for one in found["levels"]:
        assert one["bytes_per_job"] > 0.9 * one["body_bytes"]
        assert max(sample["jobs"] for sample in one["samples"]) == one["jobs"]
    assert [one["depth"] for one in found["churn"]] == [800, 800]
    assert all(one["cycles"] > 800 for one in found["churn"])
    assert [one["mode"] for one in found["pauses"]] == ["on", "frozen", "off"]
