"""From settings to a running server."""

import logging
import os
import platform

import beanrow
from beanrow.build import BUILD
from beanrow.journal.base import Journal
from beanrow.journal.errors import JournalError
from beanrow.journal.local import LocalJournal
from beanrow.journal.storage import LocalStorage
from beanrow.server import logs, process
from beanrow.server.config import Config
from beanrow.server.errors import StartError, UnusableJournalError
from beanrow.server.listeners import Listeners
from beanrow.server.server import Server
from beanrow.server.systemd import Notifier, take_sockets

log = logging.getLogger("beanrow.server")


def run(config: Config) -> int:
    """Serve until a signal stops it, and return the exit status: 0, or 1 if a defect ended it.

    Raises `beanrow.server.errors.StartError` when it cannot start. Changes the process for good:
    its signals, its limits, its user.
    """
    logs.configure(config.log_format, config.verbosity)
    try:
        _serve(config)
    except StartError:
        raise
    except Exception as error:
        # Where the log goes, and in its format, is where whoever runs servers will look.
        log.critical("ended by a defect: %r", error, exc_info=True)
        return 1
    log.info("stopped")
    return 0


def _serve(config: Config) -> None:
    for note in config.notes:
        log.warning("%s", note)
    notifier = Notifier(os.environ)
    user = None if config.user is None else process.find_user(config.user)
    max_descriptors = process.raise_descriptor_limit()
    with _listeners(config) as listeners:
        if user is not None:
            listeners.give_to(user)
            process.become(user)
        server = Server(
            listeners.sockets,
            max_job_bytes=config.max_job_bytes,
            segment_bytes=config.segment_bytes,
            journal=_journal(config),
        )
        process.handle_signals(server, on_stop=notifier.stopping, on_abort=listeners.close)
        process.stop_cycle_collector()

        def tell_ready() -> None:
            _announce(config, listeners, max_descriptors)
            notifier.ready()

        try:
            server.run(tell_ready)
        except JournalError as error:
            raise UnusableJournalError(f"-b {config.journal}: {error}") from error
        finally:
            process.forget_wakeups()


def _journal(config: Config) -> Journal | None:
    """Open the directory, as the user whom the server has become. Raises `UnusableJournalError`."""
    if config.journal is None:
        return None
    try:
        storage = LocalStorage(config.journal)
    except JournalError as error:
        raise UnusableJournalError(f"-b {config.journal}: {error}") from error
    return LocalJournal(
        storage, segment_bytes=config.segment_bytes, sync_interval_ms=config.sync_interval_ms
    )


def _describe_journal(config: Config) -> str:
    if config.journal is None:
        return "no journal"
    if config.sync_interval_ms is None:
        policy = "never synced"
    elif config.sync_interval_ms:
        policy = f"synced every {config.sync_interval_ms} ms"
    else:
        policy = "synced before each reply"
    return f"journal {config.journal} {policy}"


def _listeners(config: Config) -> Listeners:
    handed_over = take_sockets(os.environ)
    if handed_over:
        log.info("using the sockets from systemd; -l and -p have no effect")
        return Listeners.adopt(handed_over)
    return Listeners.open(config.listen, config.port)


def _announce(config: Config, listeners: Listeners, max_descriptors: int) -> None:
    facts = {
        "version": beanrow.__version__,
        "build": BUILD,
        "addresses": listeners.names(),
        "pid": os.getpid(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "max_job_bytes": config.max_job_bytes,
        "max_open_files": max_descriptors,
        "journal": None if config.journal is None else str(config.journal),
        "sync_interval_ms": config.sync_interval_ms,
    }
    log.info(
        "beanrow %s serves on %s (pid %d, %s, %s, jobs up to %d bytes, %d open files, %s)",
        facts["version"],
        ", ".join(listeners.names()),
        facts["pid"],
        facts["build"],
        facts["python"],
        config.max_job_bytes,
        max_descriptors,
        _describe_journal(config),
        extra=facts,
    )
    if listeners.listens_everywhere():
        log.warning(
            "anybody who reaches this machine can use the queue: there is no authentication; "
            "-l 127.0.0.1 keeps it to this machine"
        )
