"""The Python client: connections, jobs and their stats."""

from beanrow.client.codec import Codec
from beanrow.client.job import Job
from beanrow.client.stats import JobStats, ServerStats, TubeStats
from beanrow.client.sync import Connection

__all__ = ["Codec", "Connection", "Job", "JobStats", "ServerStats", "TubeStats"]
