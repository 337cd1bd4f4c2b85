"""Tests that are coroutines: run on a loop in debug mode, which must not be left with anything."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

Arguments = ParamSpec("Arguments")


def on_a_loop(
    test: Callable[Arguments, Coroutine[Any, Any, None]],
) -> Callable[Arguments, None]:
    """Run the test, and fail if a task is left, or if the loop has had anything to complain of."""

    @functools.wraps(test)
    def run(*arguments: Arguments.args, **named: Arguments.kwargs) -> None:
        complaints: list[dict[str, Any]] = []
        with asyncio.Runner(debug=True) as runner:
            loop = runner.get_loop()
            loop.set_exception_handler(lambda _, context: complaints.append(context))
            loop.slow_callback_duration = 60  # this machine may be busy
            runner.run(test(*arguments, **named))
            left = asyncio.all_tasks(loop)
        assert not left
        assert not complaints

    return run
