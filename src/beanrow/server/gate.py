"""Where replies wait until the journal has made durable what they acknowledge.

At the end of a tick the server asks the journal to keep all that the tick has changed, and is told
a position. Whoever changed something holds back the replies of this tick until the journal is
durable so far, and all later ones behind them: what a client is told, it is told in the order in
which it asked. Others wait for nothing. When the journal confirms a position later, it wakes the
loop, and the tick that follows lets go what waited for it. With a journal that is durable at once
nothing is ever held.

When the journal is in trouble, what it has not confirmed will never be. Replies that acknowledge a
change become INTERNAL_ERROR then, and the jobs of such puts are taken back: their producers will
put them again.
"""

from __future__ import annotations

import logging

from beanrow.engine.engine import Engine
from beanrow.journal.base import Journal
from beanrow.protocol.replies import CHANGE_REPLIES, INTERNAL_ERROR, inserted_id
from beanrow.server.connection import Connection

log = logging.getLogger("beanrow.server")


class Gate:
    """Between the engine's changes and the replies that acknowledge them stands the journal."""

    __slots__ = ("_durable", "_engine", "_holding", "_journal", "_opened", "_position", "_trouble")

    def __init__(self, engine: Engine, journal: Journal) -> None:
        self._engine = engine
        self._journal = journal
        #: Those whose replies are held, by descriptor.
        self._holding: dict[int, Connection] = {}
        #: The position of the last commit, and how the journal stood then.
        self._position = 0
        self._durable = 0
        self._trouble = ""
        #: Up to where `opened` has looked.
        self._opened = 0

    def count_changes(self) -> int:
        """How much has changed in this tick so far; it only grows."""
        changes = self._engine.changes
        return len(changes.jobs) + len(changes.pauses)

    def commit(self) -> None:
        """End a tick: hand over what it has changed, and look how the journal stands."""
        journal = self._journal
        if self.count_changes():
            journal.append(self._engine.changes)
        self._position = journal.commit()
        # In this order: what is durable when there is trouble already, was so before it.
        trouble = journal.trouble
        self._durable = journal.durable
        if trouble != self._trouble:
            self._trouble = trouble
            self._tell_of_trouble()

    def _tell_of_trouble(self) -> None:
        if self._trouble:
            log.error("changes are refused, the journal is in trouble: %s", self._trouble)
        else:
            log.info("the journal is out of trouble, changes are accepted again")

    def opened(self) -> list[Connection]:
        """Those who hold replies that need not wait any longer; `part` them."""
        durable = self._durable
        if not self._holding or (durable == self._opened and not self._trouble):
            return []
        self._opened = durable
        return [
            connection
            for connection in self._holding.values()
            if connection.held[0].position <= durable or self._trouble
        ]

    def part(self, connection: Connection) -> None:
        """Part what may leave now from what has to wait. To be called after `commit`."""
        position = self._position if connection.has_changes else 0
        connection.has_changes = False
        if position <= self._durable and not connection.held:
            return
        connection.hold(position)
        connection.let_go(self._durable)
        if self._trouble:
            self._deny(connection)
        if connection.held:
            self._holding[connection.fd] = connection
        else:
            self._holding.pop(connection.fd, None)

    def count_holding(self) -> int:
        """How many clients wait for the journal."""
        return len(self._holding)

    def forget(self, connection: Connection) -> None:
        """It is closed: nobody waits for what it holds."""
        self._holding.pop(connection.fd, None)

    def _deny(self, connection: Connection) -> None:
        """Let all go that is held, but acknowledge no change."""
        for reply in connection.take_held():
            if isinstance(reply, bytes) and reply.startswith(CHANGE_REPLIES):
                job_id = inserted_id(reply)
                if job_id is not None:
                    self._engine.take_back(job_id)
                connection.reply(INTERNAL_ERROR)
            else:
                connection.reply(reply)
