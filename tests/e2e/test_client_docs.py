"""The examples of docs/client.md and of the README, run from top to bottom with a real server."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.peers import RunningServer

#: The client is the same in both builds.
pytestmark = pytest.mark.any_build

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("document", ["docs/client.md", "README.md"])
def test_the_examples_work(
    document: str, either_server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    where = f'"{either_server.host}", {either_server.port}'
    examples = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    assert examples
    names: dict[str, Any] = {"send": print}
    opened = []
    for example in examples:
        if "beanrow.Connection(" not in example and "queue.reserve() as job" in example:
            names["queue"].put("a job for this example")
        code = example.replace('"localhost", 11300', where).replace(
            "Connection(codec", f"Connection({where}, codec"
        )
        exec(compile(code, document, "exec"), names)
        opened.append(names["queue"])
    for queue in opened:
        queue.close()
    printed = capsys.readouterr().out
    assert "1 b'to: you'" in printed
