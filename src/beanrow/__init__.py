"""beanrow: a work queue that speaks the beanstalk protocol.

import beanrow

with beanrow.Connection("localhost") as queue:
    queue.put("hello world")
    with queue.reserve() as job:
        print(job.body)
"""

from typing import TYPE_CHECKING

from beanrow.errors import (
    BadFormat,
    BeanrowError,
    Buried,
    CodecError,
    ConnectionClosed,
    ConnectionFailed,
    ConnectionLost,
    ConnectionProblem,
    ConnectionShared,
    DeadlineSoon,
    Draining,
    ExpectedCRLF,
    InternalError,
    InvalidArgument,
    IOTimeout,
    JobTooBig,
    NotFound,
    NotIgnored,
    OutOfMemory,
    ProtocolError,
    ReplyError,
    SomeRefused,
    UnknownCommand,
)

if TYPE_CHECKING:
    from beanrow.client import (
        Codec,
        Connection,
        Job,
        JobStats,
        Outcome,
        Pipeline,
        ServerStats,
        TubeStats,
    )
else:

    def __getattr__(name):
        """Load the client when it is first used: most of the time that an import takes.

        A server does without it, and a command can be interrupted before it is there.
        """
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from beanrow import client

        return getattr(client, name)

    def __dir__():
        return __all__


__version__ = "0.1.0"

__all__ = [
    "BadFormat",
    "BeanrowError",
    "Buried",
    "Codec",
    "CodecError",
    "Connection",
    "ConnectionClosed",
    "ConnectionFailed",
    "ConnectionLost",
    "ConnectionProblem",
    "ConnectionShared",
    "DeadlineSoon",
    "Draining",
    "ExpectedCRLF",
    "IOTimeout",
    "InternalError",
    "InvalidArgument",
    "Job",
    "JobStats",
    "JobTooBig",
    "NotFound",
    "NotIgnored",
    "OutOfMemory",
    "Outcome",
    "Pipeline",
    "ProtocolError",
    "ReplyError",
    "ServerStats",
    "SomeRefused",
    "TubeStats",
    "UnknownCommand",
    "__version__",
]
