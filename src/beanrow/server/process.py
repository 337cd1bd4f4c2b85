"""The process around the server: its limits, its user, its signals."""

import gc
import logging
import os
import pwd
import resource
import signal
from collections.abc import Callable
from types import FrameType
from typing import Final

from beanrow.server.errors import BecomeUserError, UnknownUserError
from beanrow.server.server import Server

log = logging.getLogger("beanrow.server")

#: What shells make of a process that ended by SIGINT. (The command line has the same for commands
#: of clients, which must not import the server, as the server must not import it.)
INTERRUPTED: Final = 128 + signal.SIGINT


def raise_descriptor_limit() -> int:
    """Allow as many open files, hence clients, as the hard limit does; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:  # macOS allows less than it says
            log.warning("the limit of open files stays at %d: %s", soft, error)
            return soft
        log.info("limit of open files raised from %d to %d", soft, hard)
    return hard


def stop_cycle_collector() -> None:
    """Leave memory to reference counts alone, for good.

    A collection walks over all jobs, while no client is served, and it would find nothing. Jobs,
    tubes, sessions and connections are let go one by one, and nothing of a served command refers
    to itself; a test holds that.
    """
    gc.collect()
    gc.freeze()
    gc.disable()


def find_user(name: str) -> pwd.struct_passwd:
    """Look a user up. Raises `UnknownUserError`."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise UnknownUserError(
            f"-u {name}: there is no such user; create it, or give the name of another"
        ) from None


def become(user: pwd.struct_passwd) -> None:
    """Become a user with its groups, for good. Raises `BecomeUserError`."""
    if os.getresuid() == (user.pw_uid,) * 3:
        return  # it is this user already, who may not set groups
    try:
        os.initgroups(user.pw_name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    except OSError as error:
        raise BecomeUserError(
            f"-u {user.pw_name}: cannot become this user ({error.strerror}); "
            "start as root, or leave -u out"
        ) from error


def handle_signals(
    server: Server, *, on_stop: Callable[[], None], on_abort: Callable[[], None]
) -> None:
    """Let signals steer the server, also as process 1, where none has an effect by itself.

    SIGTERM and SIGINT call `on_stop` and stop the server. A SIGINT after that comes from somebody
    at a terminal who will not wait: it calls `on_abort` and ends the process on the spot. (An
    exception instead would surface at any line of the server, which is written for none.) SIGUSR1
    drains, SIGUSR2 ends that. SIGPIPE is ignored: a client that went away is an error of its own
    socket.
    """
    is_stopping = False

    def stop(number: int, _: FrameType | None) -> None:
        nonlocal is_stopping
        if is_stopping:
            return
        is_stopping = True
        signal.signal(signal.SIGINT, abort)
        log.info("%s: stopping", signal.Signals(number).name)
        on_stop()
        server.stop()

    def abort(_: int, __: FrameType | None) -> None:
        log.warning("SIGINT again: ended at once")
        on_abort()
        os._exit(INTERRUPTED)

    def drain(_: int, __: FrameType | None) -> None:
        server.set_draining(True)
        log.info("SIGUSR1: draining, no job is taken in until SIGUSR2")

    def end_draining(_: int, __: FrameType | None) -> None:
        server.set_draining(False)
        log.info("SIGUSR2: draining ended, jobs are taken in again")

    signal.set_wakeup_fd(server.wakeup_fd(), warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGUSR1, drain)
    signal.signal(signal.SIGUSR2, end_draining)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


def forget_wakeups() -> None:
    """To be called before the server's descriptors may mean something else."""
    signal.set_wakeup_fd(-1)
