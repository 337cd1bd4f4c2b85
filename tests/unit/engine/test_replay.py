"""What `Replay` makes of facts, beyond what the property tests compare."""

from beanrow.engine.change import JobFacts, PauseFacts
from beanrow.engine.engine import Engine
from beanrow.engine.replay import Replay
from beanrow.protocol.limits import NS_PER_S


def job_facts(job_id: int, tube: bytes) -> JobFacts:
    facts = JobFacts(job_id)
    facts.tube = tube
    facts.body = b""
    return facts


def test_a_pause_outlives_the_last_job_of_its_tube() -> None:
    engine = Engine()
    replay = Replay(engine)
    replay.put(job_facts(1, b"mail"))
    replay.pause(PauseFacts(b"mail", 60, 100 * NS_PER_S))
    replay.delete(1)
    replay.finish(50 * NS_PER_S)
    tube = engine.tubes.get(b"mail")
    assert tube is not None
    assert tube.paused
    engine.tick(100 * NS_PER_S)
    assert engine.tubes.get(b"mail") is None


def test_a_tube_without_jobs_is_forgotten() -> None:
    engine = Engine()
    replay = Replay(engine)
    replay.put(job_facts(1, b"mail"))
    replay.delete(1)
    replay.finish(0)
    assert [tube.name for tube in engine.tubes] == [b"default"]
