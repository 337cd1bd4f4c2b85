"""beanrow: a work queue that speaks the beanstalk protocol.

import beanrow

with beanrow.Connection("localhost") as queue:
    queue.put("hello world")
    with queue.reserve() as job:
        print(job.body)
"""

from beanrow.client import Codec, Connection, Job, JobStats, ServerStats, TubeStats
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
    UnknownCommand,
)

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
    "ProtocolError",
    "ReplyError",
    "ServerStats",
    "TubeStats",
    "UnknownCommand",
    "__version__",
]
