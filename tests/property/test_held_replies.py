"""Whatever clients say, however late the journal is: nothing too early, nothing out of order."""

from collections import deque

import hypothesis.strategies as st
from hypothesis import given

from tests.unit.server.in_process_server import Client, Serving
from tests.unit.server.late_journal import LateJournal

CLIENTS = 3
PUT = b"put 0 0 60 1\r\nx\r\n"
USE = b"list-tube-used\r\n"
USING = b"USING default\r\n"
INTERNAL_ERROR = b"INTERNAL_ERROR\r\n"

Action = tuple[str, int, list[bool]]

SAY: st.SearchStrategy[Action] = st.tuples(
    st.just("say"), st.integers(0, CLIENTS - 1), st.lists(st.booleans(), max_size=20)
)
CONFIRM: st.SearchStrategy[Action] = st.tuples(st.just("confirm"), st.integers(0, 100), st.just([]))
TROUBLE: st.SearchStrategy[Action] = st.tuples(st.just("trouble"), st.just(0), st.just([]))
ACTIONS = st.lists(st.one_of(SAY, SAY, CONFIRM, TROUBLE), min_size=6, max_size=25)


class Model:
    """What a server must have told its clients."""

    def __init__(self) -> None:
        self.told = [b""] * CLIENTS
        self.kept: set[int] = set()
        self.denied: set[int] = set()
        self.last_id = 0
        # The ids of the puts that were said at once, None for another command; and the position.
        self._waiting: list[deque[tuple[list[int | None], int]]] = [deque() for _ in range(CLIENTS)]

    def say(self, client: int, puts: list[bool], position: int) -> bytes:
        """All of this is said in one tick, whose changes have this position."""
        said: list[int | None] = []
        for is_put in puts:
            self.last_id += is_put
            said.append(self.last_id if is_put else None)
        self._waiting[client].append((said, position if any(puts) else 0))
        return b"".join(PUT if is_put else USE for is_put in puts)

    def confirm(self, durable: int) -> None:
        for client, waiting in enumerate(self._waiting):
            while waiting and waiting[0][1] <= durable:
                for job_id in waiting.popleft()[0]:
                    self.told[client] += b"INSERTED %d\r\n" % job_id if job_id else USING
                    self.kept |= {job_id} if job_id else set()

    def deny(self) -> None:
        for client, waiting in enumerate(self._waiting):
            for said, _ in waiting:
                for job_id in said:
                    self.told[client] += INTERNAL_ERROR if job_id else USING
                    self.denied |= {job_id} if job_id else set()
            waiting.clear()


@given(actions=ACTIONS)
def test_replies_are_neither_early_nor_out_of_order(actions: list[Action]) -> None:
    journal = LateJournal()
    with Serving(journal=journal) as serving:
        try:
            play(actions, serving, journal)
        finally:
            journal.confirm()  # or the stop would wait


def play(actions: list[Action], serving: Serving, journal: LateJournal) -> None:
    model = Model()
    clients = [serving.connect() for _ in range(CLIENTS)]
    heard = [b""] * CLIENTS
    serving.nudge()
    for act, number, puts in actions:
        if act == "say":
            with serving.one_tick():
                clients[number].say(model.say(number, puts, journal.position + 1))
        elif act == "confirm":
            journal.confirm(max(journal.durable, journal.position * number // 100))
        else:
            journal.set_trouble("no disk")
            serving.nudge()
            journal.set_trouble("")
            model.deny()
        serving.nudge()
        model.confirm(journal.durable)
        for index, client in enumerate(clients):
            heard[index] += read_what_is_there(client)
        assert heard == model.told
    asker = serving.connect()
    for job_id in model.kept:
        asker.ask(b"peek %d\r\n" % job_id, b"FOUND %d 1\r\nx\r\n" % job_id)
    for job_id in model.denied:
        asker.ask(b"peek %d\r\n" % job_id, b"NOT_FOUND\r\n")


def read_what_is_there(client: Client) -> bytes:
    data = b""
    client.socket.setblocking(False)
    try:
        while chunk := client.socket.recv(1 << 16):
            data += chunk
    except BlockingIOError:
        return data
    finally:
        client.socket.settimeout(5)
    raise AssertionError("the server has closed")
