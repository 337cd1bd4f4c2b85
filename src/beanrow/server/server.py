"""The tick: take all that is ready, execute, send all replies.

One turn of the loop, in this order:

1. wait until a socket is ready or the engine's next moment has come;
2. let the engine do what is due (`Engine.tick`), and answer the reserves that this serves;
3. put the clients that sent something in line, behind those who have commands left;
4. let each have a turn: read from it once, execute some of its commands, answer the reserves
   that these serve; and so on for a few milliseconds, or until nobody has anything left to do;
5. give the journal all that has changed;
6. send to each client what has been gathered for it, in one call, or hold it back until the
   journal is durable (`gate`).

Nothing is sent before the end of the tick, so one system call carries all replies of a
client, and one commit all changes of a tick.

No client can make the others wait for long: a turn is a bounded number of commands, no turn
begins when a tick has taken its time, and one that does not read its replies is neither read from
nor executed until it does. (A kick of very many jobs is one command, and takes its time.) No
client can end the server: what goes wrong with one, ends that one.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Final

from beanrow.engine.engine import Engine
from beanrow.engine.replay import Replay
from beanrow.journal.base import Journal, NullJournal
from beanrow.protocol import commands
from beanrow.protocol.limits import DEFAULT_MAX_JOB_BYTES, DEFAULT_SEGMENT_BYTES, NS_PER_S
from beanrow.server import clock as steady_clock
from beanrow.server.acceptor import Acceptor
from beanrow.server.connection import MAX_UNSENT_BYTES, Connection
from beanrow.server.dispatch import Dispatcher, answer_reserve
from beanrow.server.gate import Gate
from beanrow.server.loop import GONE, HALF_CLOSED, READ, WRITE, Loop
from beanrow.server.stats_documents import ServerFacts

log = logging.getLogger("beanrow.server")

#: How many commands a client may execute before it is the turn of the next one.
COMMANDS_PER_TURN: Final = 16

#: No new turn begins when a tick has lasted so long; every so many turns the clock is looked at.
TICK_NS: Final = 5_000_000
TURNS_PER_LOOK: Final = 8

#: For a moment farther away than this, the wait is half of what was left when the tick began. So
#: the clock need not be looked at before each; only a tick of half this time would make it late.
FAR_NS: Final = 30 * NS_PER_S

#: At the stop, the journal gets this long to confirm, and clients to take, their last replies.
STOP_GRACE_NS: Final = 2 * NS_PER_S


class Server:
    """Serves clients of the given listening sockets until `stop`; it closes them then.

    And the journal, which keeps what has changed; without one, nothing is kept.
    """

    def __init__(
        self,
        listeners: list[socket.socket],
        *,
        max_job_bytes: int = DEFAULT_MAX_JOB_BYTES,
        segment_bytes: int = DEFAULT_SEGMENT_BYTES,
        journal: Journal | None = None,
        clock: Callable[[], int] = steady_clock.now_ns,
        loop: Loop | None = None,
    ) -> None:
        self._clock = clock
        self._max_job_bytes = max_job_bytes
        self._engine = Engine()
        self._journal = NullJournal() if journal is None else journal
        self._gate = Gate(self._engine, self._journal)
        facts = ServerFacts(max_job_bytes, segment_bytes, clock())
        self._dispatcher = Dispatcher(self._engine, facts, self._journal)
        self._loop = Loop() if loop is None else loop
        self._acceptor = Acceptor(self._loop, listeners)
        self._connections: dict[int, Connection] = {}
        self._by_session: dict[int, Connection] = {}
        self._turns: list[Connection] = []
        self._flushing: list[Connection] = []
        self._stopping = False

    # --- for the process around it ------------------------------------------------------

    def run(self, on_ready: Callable[[], None] | None = None) -> None:
        """Serve until `stop` is called, then send what is left to send, and close all.

        Before that the journal is replayed; `on_ready` is called when clients are let in. Raises
        `JournalError` when the journal cannot be used, and closes all then, too.
        """
        try:
            self._replay()
            self._acceptor.start()
            if on_ready is not None and not self._stopping:
                on_ready()
            while not self._stopping:
                self._tick()
            self._flush_last_replies()
        finally:
            self._close_all()

    def stop(self) -> None:
        """End `run` soon. Safe in a signal handler."""
        self._stopping = True
        self._loop.wake()

    def set_draining(self, draining: bool) -> None:
        """Refuse every put (DRAINING), or accept them again. Safe in a signal handler."""
        self._dispatcher.draining = draining

    def wakeup_fd(self) -> int:
        """For `signal.set_wakeup_fd`: a signal then reaches its handler without delay."""
        return self._loop.wakeup_fd()

    def _replay(self) -> None:
        replay = Replay(self._engine)
        self._journal.replay(replay, self._loop.wake)
        self._dispatcher.now_ns = self._clock()
        replay.finish(self._dispatcher.now_ns)

    # --- the tick -----------------------------------------------------------------------

    def _tick(self) -> None:
        events = self._loop.wait(self._timeout_ns())
        if self._stopping:
            return
        now_ns = self._clock()
        self._dispatcher.now_ns = now_ns
        self._engine.tick(now_ns)
        self._deliver_answers()
        if now_ns >= self._acceptor.retry_ns:
            self._acceptor.start()
        for fd, ready in events:
            connection = self._connections.get(fd)
            if connection is not None:
                self._note_readiness(connection, ready)
            else:
                self._let_in(fd)
        self._take_turns(now_ns + TICK_NS)
        self._commit()
        # A client that leaves now may have held the job that another one waits for.
        while self._flushing:
            flushing = self._flushing
            self._flushing = []
            for connection in flushing:
                self._flush(connection)

    def _timeout_ns(self) -> int:
        if self._turns or self._stopping or self._gate.count_changes():
            return 0
        moment_ns = self._engine.next_tick_ns()
        if self._acceptor.retry_ns < moment_ns:
            moment_ns = self._acceptor.retry_ns
        left_ns = moment_ns - self._dispatcher.now_ns
        if left_ns > FAR_NS:
            left_ns >>= 1
        else:
            left_ns = moment_ns - self._clock()
        return min(left_ns, self._journal.retry_ns())

    def _commit(self) -> None:
        self._gate.commit()
        for connection in self._gate.opened():
            self._flush_later(connection)

    def _note_readiness(self, connection: Connection, ready: int) -> None:
        if ready == READ and connection.interest & READ:  # nearly always
            self._give_turn(connection)
            return
        if ready & WRITE:
            self._flush_later(connection)
        if ready & HALF_CLOSED:
            connection.is_half_closed = True
            self._engine.stop_waiting(connection.session)
            self._flush_later(connection)
            self._deliver_answers()
        if connection.interest & READ:
            if ready & (READ | GONE):
                self._give_turn(connection)
        elif ready & GONE:
            # What it may still have sent could not be answered any more.
            self._close(connection, "connection lost")

    # --- turns --------------------------------------------------------------------------

    def _give_turn(self, connection: Connection) -> None:
        if not connection.has_turn:
            connection.has_turn = True
            self._turns.append(connection)

    def _take_turns(self, until_ns: int) -> None:
        turns = self._turns
        taken = 0
        while taken < len(turns):  # it grows: who has commands left goes to the end
            connection = turns[taken]
            taken += 1
            connection.has_turn = False
            if not connection.is_closed:
                try:
                    self._take_turn(connection)
                except OSError as error:
                    self._close(connection, str(error))
                except MemoryError:
                    self._close_for_memory(connection)
            if taken % TURNS_PER_LOOK == 0 and self._clock() >= until_ns:
                break
        if taken < len(turns):
            self._turns = turns[taken:]
        elif taken:
            self._turns = []

    def _take_turn(self, connection: Connection) -> None:
        """Read what a client has sent and execute its commands, as far as it may go on."""
        if not connection.has_commands:
            connection.receive()
        if not (connection.awaits_answer or connection.waits_for_reader or connection.is_closing):
            changes = self._gate.count_changes()
            self._execute(connection)
            if self._gate.count_changes() != changes:
                connection.has_changes = True
        if connection.awaits_answer and connection.is_half_closed:
            self._engine.stop_waiting(connection.session)
        self._flush_later(connection)
        if self._engine.answers:
            self._deliver_answers()

    def _execute(self, connection: Connection) -> None:
        session = connection.session
        parser = connection.parser
        dispatcher = self._dispatcher
        connection.has_commands = False
        for _ in range(COMMANDS_PER_TURN):
            command = parser.next()
            if command is None:
                if parser.begun is not None:
                    dispatcher.begin(session, parser.begun)
                connection.is_closing = connection.at_end
                return
            reply = dispatcher.execute(session, command)
            if reply is None:
                connection.is_closing = command.verb == commands.QUIT
                connection.awaits_answer = not connection.is_closing
                return
            connection.reply(reply)
            if connection.unsent_bytes >= MAX_UNSENT_BYTES:
                connection.waits_for_reader = True
                return
        self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        """Have what a client has sent executed further, without reading more of it first."""
        connection.has_commands = True
        self._give_turn(connection)

    def _deliver_answers(self) -> None:
        """Reply to the reserves that the engine has answered; what was sent after them runs."""
        while self._engine.answers:
            answers = self._engine.answers
            self._engine.answers = []
            for session, answer in answers:
                connection = self._by_session.get(session.id)
                if connection is None:
                    continue
                try:
                    connection.reply(answer_reserve(answer))
                except MemoryError:
                    self._close_for_memory(connection)
                    continue
                connection.awaits_answer = False
                self._flush_later(connection)
                if connection.parser.waiting_bytes() or connection.at_end:
                    self._go_on(connection)

    def _flush_later(self, connection: Connection) -> None:
        if not connection.is_flushing:
            connection.is_flushing = True
            self._flushing.append(connection)

    def _flush(self, connection: Connection) -> None:
        """Send a client the replies that may leave, and see what to wait for next."""
        connection.is_flushing = False
        if connection.is_closed:
            return
        try:
            if connection.has_changes or connection.held_bytes:
                self._gate.part(connection)
            if connection.unsent_bytes > connection.held_bytes:
                connection.send()
        except OSError as error:
            self._close(connection, str(error))
            return
        except MemoryError:
            self._close_for_memory(connection)
            return
        if connection.is_closing and not connection.unsent_bytes:
            self._close(connection, "end")
            return
        if connection.waits_for_reader and connection.unsent_bytes < MAX_UNSENT_BYTES:
            connection.waits_for_reader = False
            self._go_on(connection)
        interest = connection.wanted_interest()
        if interest != connection.interest:
            connection.interest = interest
            self._loop.change(connection.fd, interest)

    # --- clients come and go ------------------------------------------------------------

    def _let_in(self, fd: int) -> None:
        """Accept the clients that wait at a listener."""
        if not self._acceptor.owns(fd):
            # Somebody called `wake`; or it was closed since the wait, which is as well.
            self._loop.clear_wakes()
            return
        for sock, name in self._acceptor.accept(fd, self._dispatcher.now_ns):
            self._open(sock, name)

    def _open(self, sock: socket.socket, name: str) -> None:
        session = self._engine.open_session()
        try:
            connection = Connection(sock, name, session, self._max_job_bytes)
            self._loop.add(connection.fd, READ)  # the kernel watches only so many
        except (OSError, MemoryError) as error:
            sock.close()
            self._engine.close_session(session, self._dispatcher.now_ns)
            self._acceptor.wait_for_room(error, self._dispatcher.now_ns)
            return
        self._connections[connection.fd] = connection
        self._by_session[session.id] = connection
        log.debug("%s: connected", name)

    def _close(self, connection: Connection, why: str) -> None:
        if connection.is_closed:
            return
        connection.is_closed = True
        self._gate.forget(connection)
        self._loop.remove(connection.fd)
        del self._connections[connection.fd]
        del self._by_session[connection.session.id]
        connection.socket.close()
        log.debug("%s: closed (%s)", connection.name, why)
        # At the stop, what it held goes to nobody: those who wait are closed next.
        if not self._stopping:
            self._engine.close_session(connection.session, self._dispatcher.now_ns)
            self._deliver_answers()
            self._acceptor.start()

    def _close_for_memory(self, connection: Connection) -> None:
        """End the client for which there was no memory; what it held is ready for others."""
        log.warning("%s: closed, out of memory", connection.name)
        self._close(connection, "out of memory")

    # --- the end ------------------------------------------------------------------------

    def _flush_last_replies(self) -> None:
        """Give the journal and the clients a moment for what is unsent; nothing is executed."""
        self._acceptor.close()
        until_ns = self._clock() + STOP_GRACE_NS
        for connection in self._connections.values():
            connection.is_closing = True
            self._flush_later(connection)
        while True:
            self._commit()
            for connection in self._flushing:
                self._flush(connection)
            self._flushing.clear()
            left_ns = until_ns - self._clock()
            if not self._connections or left_ns <= 0:
                break
            for fd, _ in self._loop.wait(min(left_ns, self._journal.retry_ns())):
                late = self._connections.get(fd)
                if late is not None:
                    self._flush_later(late)
                else:
                    self._loop.clear_wakes()
        self._gate.commit()  # perhaps puts that were taken back
        unconfirmed = self._gate.count_holding()
        if unconfirmed:
            log.warning("%d clients go unanswered, the journal was not in time", unconfirmed)
        if len(self._connections) > unconfirmed:
            left = len(self._connections) - unconfirmed
            log.warning("%d clients did not take their last replies", left)

    def _close_all(self) -> None:
        self._acceptor.close()
        for connection in self._connections.values():
            connection.socket.close()
        self._connections.clear()
        try:
            self._journal.close()
        finally:
            self._loop.close()
