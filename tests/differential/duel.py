"""Two servers, the same steps to both, and a complaint as soon as their replies differ."""

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import zip_longest
from tempfile import TemporaryDirectory
from types import TracebackType

from tests.differential.player import NotSettledError, Player
from tests.differential.replies import NOTHING, Reply, agree, document, is_document, values_agree
from tests.differential.script import Act, Step
from tests.peers import RunningServer, running_beanrow, running_beanstalkd


class DisagreementError(AssertionError):
    """The servers answered differently; the message carries the script that shows it."""


class Duel:
    """The real server and the one under test, step by step side by side."""

    def __init__(self, oracle: RunningServer, subject: RunningServer) -> None:
        self._oracle = Player(oracle)
        self._subject = Player(subject)
        self._played: list[Step] = []

    def play(self, step: Step) -> None:
        """Do one step on both servers; DisagreementError if they answer differently."""
        self._played.append(step)
        if step.act is Act.PASS:
            # What happens by itself is looked at with the next step.
            time.sleep(float(step.text))
            return
        for player in (self._oracle, self._subject):
            try:
                self._do(player, step)
            except (NotSettledError, OSError) as error:
                raise DisagreementError(self._report(str(error))) from error
        self._compare()

    def _do(self, player: Player, step: Step) -> None:
        if step.act is Act.DRAIN:
            player.drain()
        elif step.act is Act.RESTART:
            player.restart()
        else:
            player.play(step)

    def _compare(self) -> None:
        expected, got = self._oracle.take_replies(), self._subject.take_replies()
        if expected.keys() != got.keys():
            raise DisagreementError(
                self._report(f"open: {sorted(expected)} expected, {sorted(got)} got")
            )
        for name in expected:
            for one, other in zip_longest(expected[name], got[name], fillvalue=NOTHING):
                if not agree(one, other):
                    raise DisagreementError(self._report(f"to {name}\n{_show(one, other)}"))

    def compare_states(self) -> None:
        """Compare what the servers tell of themselves and of every tube."""
        self._ask_both(b"stats\r\n")
        tubes = self._ask_both(b"list-tubes\r\n").body or b""
        for line in tubes.split(b"\n")[1:-1]:
            self._ask_both(b"stats-tube %s\r\n" % line.removeprefix(b"- "))

    def _ask_both(self, request: bytes) -> Reply:
        expected, got = self._oracle.ask(request), self._subject.ask(request)
        if not agree(expected, got):
            raise DisagreementError(self._report(f"finally, {request!r}\n{_show(expected, got)}"))
        return expected

    def finish(self) -> None:
        """Compare states, then what connections left waiting are told when they half-close."""
        self.compare_states()
        for name in self.waiting():
            self.play(Step(Act.HALF_CLOSE, name))

    def clear(self) -> None:
        """Prepare both servers for another script."""
        self._played.clear()
        for player in (self._oracle, self._subject):
            player.clear()

    def waiting(self) -> list[str]:
        return self._oracle.waiting()

    def close(self) -> None:
        self._oracle.close()
        self._subject.close()

    def _report(self, difference: str) -> str:
        script = "\n".join(map(str, self._played))
        return f"the servers differ\n\n{script}\n\n{difference}\n"


def _show(expected: Reply, got: Reply) -> str:
    """Show two replies; of two stats documents with the same keys, only what differs."""
    if is_document(expected) and is_document(got):
        one, other = document(expected), document(got)
        if [key for key, _ in one] == [key for key, _ in other]:
            return "\n".join(
                f"{key}: {value} expected, {other_value} got"
                for (key, value), (_, other_value) in zip(one, other, strict=True)
                if not values_agree(key, value, other_value)
            )
    return f"expected {expected}\ngot      {got}"


@contextmanager
def duel_of(oracle: RunningServer, subject: RunningServer) -> Iterator[Duel]:
    """Set two running servers against each other."""
    duel = Duel(oracle, subject)
    try:
        yield duel
    finally:
        duel.close()


def running_subject(*options: str) -> AbstractContextManager[RunningServer]:
    """Start the server under test.

    That is beanrow; `DIFFERENTIAL_SUBJECT=beanstalkd` checks the suite itself, by setting the real
    server against itself.
    """
    if os.environ.get("DIFFERENTIAL_SUBJECT") == "beanstalkd":
        return running_beanstalkd(*options)
    return running_beanrow(*options)


@contextmanager
def fresh_duel(*options: str) -> Iterator[Duel]:
    """Start the real server and the one under test, both with these options."""
    with (
        TemporaryDirectory() as one_folder,
        TemporaryDirectory() as other_folder,
        running_beanstalkd(*_with_journal(options, one_folder)) as oracle,
        running_subject(*_with_journal(options, other_folder)) as subject,
        duel_of(oracle, subject) as duel,
    ):
        yield duel


def _with_journal(options: tuple[str, ...], folder: str) -> list[str]:
    return [folder if option == "JOURNAL" else option for option in options]


class Arena:
    """A duel that is used for many scripts, and replaced after one that ended in disagreement."""

    def __init__(self, *options: str) -> None:
        self._options = options
        self._stack = ExitStack()
        self._duel: Duel | None = None

    def __enter__(self) -> "Arena":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    @contextmanager
    def duel(self) -> Iterator[Duel]:
        """Lend the duel for one script."""
        if self._duel is None:
            self._duel = self._stack.enter_context(fresh_duel(*self._options))
        try:
            yield self._duel
            self._duel.clear()
        except BaseException:
            self._duel = None
            self._stack.close()
            raise
