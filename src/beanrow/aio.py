"""beanrow for asyncio: the same client, to be awaited.

async with beanrow.aio.Connection("localhost") as queue:
    await queue.put("hello world")
    async with await queue.reserve() as job:
        print(job.body)
"""

from beanrow.client.aio import Connection, Job
from beanrow.client.aio_pipeline import Pipeline

__all__ = ["Connection", "Job", "Pipeline"]
