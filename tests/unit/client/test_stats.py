"""Stats get their types from the field, not from what the text looks like."""

import pytest

from beanrow.client.stats import ServerStats, TubeStats
from beanrow.errors import ProtocolError

TUBE = {
    "name": "12",
    "current-jobs-urgent": "1",
    "current-jobs-ready": "2",
    "current-jobs-reserved": "3",
    "current-jobs-delayed": "4",
    "current-jobs-buried": "5",
    "total-jobs": "6",
    "current-using": "7",
    "current-watching": "8",
    "current-waiting": "9",
    "cmd-delete": "10",
    "cmd-pause-tube": "11",
    "pause": "12",
    "pause-time-left": "13",
}


def test_values_have_their_types() -> None:
    stats = TubeStats.from_document(TUBE)
    assert stats.name == "12"
    assert stats.pause_time_left == 13
    assert stats.extra == {}


def test_keys_of_other_servers_are_kept() -> None:
    assert TubeStats.from_document({**TUBE, "oldest": "1.5"}).extra == {"oldest": "1.5"}


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ProtocolError, match="pause-time-left"):
        TubeStats.from_document({key: TUBE[key] for key in TUBE if key != "pause-time-left"})


@pytest.mark.parametrize(("key", "text"), [("pause", "soon"), ("total-jobs", "1.5")])
def test_a_value_of_another_type_is_named(key: str, text: str) -> None:
    with pytest.raises(ProtocolError, match=f"{key}: '{text}' is no int"):
        TubeStats.from_document({**TUBE, key: text})


def test_flags_and_seconds_are_read_and_late_keys_may_be_missing() -> None:
    names = [name.replace("_", "-") for name in ServerStats.__slots__]
    document = {
        **dict.fromkeys(names, "1"),
        "rusage-utime": "1.5",
        "version": "1.4",
        "draining": "true",
    }
    del document["os"]
    stats = ServerStats.from_document(document)
    assert (stats.rusage_utime, stats.version, stats.draining, stats.os) == (1.5, "1.4", True, "")
