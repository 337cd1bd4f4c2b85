"""Every case in `scripts/`, played to both servers alike, and most again with journals."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.differential.duel import Arena, Duel, fresh_duel
from tests.differential.script import Act, Case, Step, read_cases

SCRIPTS = Path(__file__).parent / "scripts"

CASES = {
    f"{path.stem}: {case.title}": case
    for path in sorted(SCRIPTS.glob("*.txt"))
    for case in read_cases(path)
}

#: Those that let no time pass and choose no options.
QUICK_CASES = {
    title: case
    for title, case in CASES.items()
    if not {Act.PASS, Act.OPTIONS} & {step.act for step in case.steps}
}


@pytest.fixture(scope="module")
def arena() -> Iterator[Arena]:
    with Arena() as arena:
        yield arena


@pytest.fixture(scope="module")
def arena_with_journals() -> Iterator[Arena]:
    with Arena("-b", "JOURNAL") as arena:
        yield arena


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_both_servers_answer_alike(case: Case, arena: Arena) -> None:
    first, *rest = case.steps
    if first.act is Act.OPTIONS:
        with fresh_duel(*first.text.split()) as duel:
            play(duel, rest)
    else:
        with arena.duel() as duel:
            play(duel, case.steps)


@pytest.mark.parametrize("case", QUICK_CASES.values(), ids=QUICK_CASES)
def test_a_journal_makes_no_difference(case: Case, arena_with_journals: Arena) -> None:
    with arena_with_journals.duel() as duel:
        play(duel, case.steps)


def play(duel: Duel, steps: tuple[Step, ...] | list[Step]) -> None:
    for step in steps:
        duel.play(step)
    duel.finish()
