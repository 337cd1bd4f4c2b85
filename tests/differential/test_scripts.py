"""Every case in `scripts/`, played to the real server and to beanrow alike."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.differential.duel import Arena, Duel, fresh_duel
from tests.differential.script import Act, Case, Step, read_cases

SCRIPTS = Path(__file__).parent / "scripts"

CASES = [
    pytest.param(case, id=f"{path.stem}: {case.title}")
    for path in sorted(SCRIPTS.glob("*.txt"))
    for case in read_cases(path)
]


@pytest.fixture(scope="module")
def arena() -> Iterator[Arena]:
    with Arena() as arena:
        yield arena


@pytest.mark.parametrize("case", CASES)
def test_both_servers_answer_alike(case: Case, arena: Arena) -> None:
    first, *rest = case.steps
    if first.act is Act.OPTIONS:
        with fresh_duel(*first.text.split()) as duel:
            play(duel, rest)
    else:
        with arena.duel() as duel:
            play(duel, case.steps)


def play(duel: Duel, steps: tuple[Step, ...] | list[Step]) -> None:
    for step in steps:
        duel.play(step)
    duel.finish()
