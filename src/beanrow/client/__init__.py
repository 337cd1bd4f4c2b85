"""The Python client: connections, jobs and their stats."""

from beanrow.client.codec import Codec
from beanrow.client.flight import Outcome
from beanrow.client.job import Job
from beanrow.client.pipeline import Pipeline
from beanrow.client.stats import JobStats, ServerStats, Stats, TubeStats
from beanrow.client.sync import Connection
from beanrow.protocol.limits import DEFAULT_PORT
from beanrow.protocol.requests import DEFAULT_PRIORITY, DEFAULT_TTR_S

__all__ = [
    "DEFAULT_PORT",
    "DEFAULT_PRIORITY",
    "DEFAULT_TTR_S",
    "Codec",
    "Connection",
    "Job",
    "JobStats",
    "Outcome",
    "Pipeline",
    "ServerStats",
    "Stats",
    "TubeStats",
]
