"""Log lines, as people and as programs read them."""

import json
import logging
import os
import sys

import pytest

from beanrow.server.logs import JSONFormatter, TextFormatter, _StderrHandler


def record(message: str, *args: object, **attributes: object) -> logging.LogRecord:
    made = logging.LogRecord("beanrow.server", logging.WARNING, "", 0, message, args, None)
    made.created = 1893456000.5
    vars(made).update(attributes)
    return made


def failure() -> logging.LogRecord:
    made = record("it broke")
    error = ValueError("deep down")
    made.exc_info = (ValueError, error, None)
    return made


def test_text_is_time_level_and_message() -> None:
    line = TextFormatter().format(record("%d jobs", 3))
    assert line == "2030-01-01T00:00:00.500Z warning  3 jobs"


def test_text_tells_of_an_exception() -> None:
    assert TextFormatter().format(failure()).endswith("it broke\nValueError: deep down")


def test_json_is_one_object_with_what_came_as_extra() -> None:
    line = JSONFormatter().format(record("two\nlines %s", "é", addresses=["a", "b"]))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2030-01-01T00:00:00.500Z",
        "level": "warning",
        "logger": "beanrow.server",
        "message": "two\nlines é",
        "addresses": ["a", "b"],
    }


def test_json_tells_of_an_exception() -> None:
    assert json.loads(JSONFormatter().format(failure()))["exception"] == "ValueError: deep down"


def test_a_line_longer_than_the_pipe_is_cut_and_the_next_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as reader, os.fdopen(writing, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        handler = _StderrHandler()
        handler.setFormatter(JSONFormatter())
        handler.handle(record("x" * 1_000_000))
        handler.handle(record("dropped"))
        cut = reader.read(1_000_000)
        handler.handle(record("next"))
        end, missing, following = reader.read(1_000_000).splitlines()
    assert cut.endswith(b"xxx")
    assert end == b""
    assert json.loads(missing)["missing_lines"] == 2
    assert json.loads(following)["message"] == "next"
