"""Both clients under one face, so that one test holds them to the same behaviour.

`Blocking` is `beanrow.aio.Connection` as a caller without an event loop sees it: each call runs the
loop until it has its result, and no further.
"""

import asyncio
import inspect
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, cast

from beanrow import Connection, aio

Connect = Callable[..., Connection]


def connect_blocking(*where: Any, **options: Any) -> Connection:
    return Connection(*where, **options)


def connect_asyncio(*where: Any, **options: Any) -> Connection:
    runner = asyncio.Runner(debug=True)
    try:
        connection = runner.run(_open(*where, **options))
    except BaseException:
        runner.close()
        raise
    return cast(Connection, Blocking(runner, connection))


#: What tests are parametrized with.
CLIENTS: dict[str, Connect] = {"blocking": connect_blocking, "asyncio": connect_asyncio}


class Blocking:
    """An asyncio connection, job or pipeline, to be used without awaiting."""

    def __init__(self, runner: asyncio.Runner, target: Any) -> None:
        self.runner = runner
        self.target = target

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.target, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            given = [each.target if isinstance(each, Blocking) else each for each in arguments]
            return self._wrap(self._run(found(*given, **options)))

        return call

    def __enter__(self) -> Self:
        self._run(self.target.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._run(self.target.__aexit__(kind, error, traceback))
        finally:
            if isinstance(self.target, aio.Connection):
                assert_no_tasks(self.runner)
                self.runner.close()

    def __eq__(self, other: object) -> bool:
        return bool(self.target == (other.target if isinstance(other, Blocking) else other))

    def __hash__(self) -> int:
        return hash(self.target)

    def __repr__(self) -> str:
        return repr(self.target)

    def _run(self, result: Any) -> Any:
        return self.runner.run(result) if inspect.iscoroutine(result) else result

    def _wrap(self, result: Any) -> Any:
        if isinstance(result, aio.Job | aio.Pipeline):
            return Blocking(self.runner, result)
        return result


def assert_no_tasks(runner: asyncio.Runner) -> None:
    assert not asyncio.all_tasks(runner.get_loop())


async def _open(*where: Any, **options: Any) -> aio.Connection:
    return await aio.Connection(*where, **options)
