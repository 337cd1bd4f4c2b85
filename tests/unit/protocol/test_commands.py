"""Each verb is read in every form it has, and in no other."""

import pytest

from beanrow.protocol import commands, replies
from beanrow.protocol.commands import UNCOUNTED, VERBS, Command, read_line
from beanrow.protocol.limits import MAX_U32, MAX_U64

#: Verb, number, pri, delay, ttr, tube.
Read = tuple[int, int, int, int, int, bytes]

#: The words of the verbs that are followed by just one job id.
ID_VERBS = [
    (b"peek", commands.PEEK),
    (b"reserve-job", commands.RESERVE_JOB),
    (b"delete", commands.DELETE),
    (b"kick-job", commands.KICK_JOB),
    (b"touch", commands.TOUCH),
    (b"stats-job", commands.STATS_JOB),
]
TUBE_VERBS = [
    (b"use", commands.USE),
    (b"watch", commands.WATCH),
    (b"ignore", commands.IGNORE),
    (b"stats-tube", commands.STATS_TUBE),
]
BARE_VERBS = [
    (b"reserve", commands.RESERVE),
    (b"peek-ready", commands.PEEK_READY),
    (b"peek-delayed", commands.PEEK_DELAYED),
    (b"peek-buried", commands.PEEK_BURIED),
    (b"stats", commands.STATS),
    (b"list-tubes", commands.LIST_TUBES),
    (b"list-tube-used", commands.LIST_TUBE_USED),
    (b"list-tubes-watched", commands.LIST_TUBES_WATCHED),
    (b"quit", commands.QUIT),
]


def read(line: bytes) -> Read:
    command = read_line(line)
    assert command.verb != commands.REFUSED, f"{line!r} answers {command.error!r}"
    assert command.body == b""
    return (
        *(command.verb, command.number, command.pri, command.delay_s, command.ttr_s),
        command.tube,
    )


def refusal(line: bytes) -> tuple[bytes, int]:
    """What a line is answered, and the verb that counts as used all the same."""
    command: Command = read_line(line)
    assert command.verb == commands.REFUSED
    return command.error, command.counts_as


# --- the right forms ----------------------------------------------------------------------------


@pytest.mark.parametrize(("word", "verb"), BARE_VERBS)
def test_a_verb_without_arguments_is_its_word(word: bytes, verb: int) -> None:
    assert read(word) == (verb, 0, 0, 0, 0, b"")


@pytest.mark.parametrize(("word", "verb"), ID_VERBS)
def test_an_id_has_64_bits(word: bytes, verb: int) -> None:
    for job_id in (0, 1, MAX_U64):
        assert read(b"%b %d" % (word, job_id)) == (verb, job_id, 0, 0, 0, b"")
    assert refusal(b"%b %d" % (word, MAX_U64 + 1)) == (replies.BAD_FORMAT, UNCOUNTED)


@pytest.mark.parametrize(("word", "verb"), TUBE_VERBS)
def test_a_tube_has_a_name(word: bytes, verb: int) -> None:
    assert read(word + b" default") == (verb, 0, 0, 0, 0, b"default")


def test_a_reserve_may_wait_so_many_seconds() -> None:
    assert read(b"reserve-with-timeout 0") == (commands.RESERVE_WITH_TIMEOUT, 0, 0, 0, 0, b"")
    longest = (commands.RESERVE_WITH_TIMEOUT, MAX_U32, 0, 0, 0, b"")
    assert read(b"reserve-with-timeout 4294967295") == longest
    assert refusal(b"reserve-with-timeout 4294967296") == (replies.BAD_FORMAT, UNCOUNTED)


def test_a_release_has_an_id_a_priority_and_a_delay() -> None:
    assert read(b"release 7 8 9") == (commands.RELEASE, 7, 8, 9, 0, b"")
    assert read(b"release %d %d %d" % (MAX_U64, MAX_U32, MAX_U32)) == (
        *(commands.RELEASE, MAX_U64, MAX_U32, MAX_U32, 0),
        b"",
    )


def test_a_bury_has_an_id_and_a_priority() -> None:
    assert read(b"bury 7 8") == (commands.BURY, 7, 8, 0, 0, b"")
    assert read(b"bury %d %d" % (MAX_U64, MAX_U32)) == (commands.BURY, MAX_U64, MAX_U32, 0, 0, b"")


def test_a_put_has_priority_delay_ttr_and_size() -> None:
    assert read(b"put 1 2 3 4") == (commands.PUT, 4, 1, 2, 3, b"")
    assert read(b"put %d %d %d %d" % ((MAX_U32,) * 4)) == (commands.PUT, *((MAX_U32,) * 4), b"")


def test_a_pause_has_a_tube_and_seconds() -> None:
    assert read(b"pause-tube default 0") == (commands.PAUSE_TUBE, 0, 0, 0, 0, b"default")
    longest = (commands.PAUSE_TUBE, MAX_U32, 0, 0, 0, b"a-b")
    assert read(b"pause-tube a-b 4294967295") == longest


def test_of_a_pause_only_the_word_is_looked_for() -> None:
    assert read(b"pause-tubefoo 1") == (commands.PAUSE_TUBE, 1, 0, 0, 0, b"foo")
    assert read(b"pause-tube   foo   1") == (commands.PAUSE_TUBE, 1, 0, 0, 0, b"foo")


@pytest.mark.parametrize("line", [b"quit", b"quitfoo", b"quit x", b"quit\r"])
def test_a_quit_is_a_quit_whatever_follows(line: bytes) -> None:
    assert read(line) == (commands.QUIT, 0, 0, 0, 0, b"")


# --- numbers ------------------------------------------------------------------------------------

#: What may stand where a number does, and its value.
RIGHT_NUMBERS = [
    (b"0", 0),
    (b"00", 0),
    (b"007", 7),
    (b" 7", 7),
    (b"    7", 7),
    (b"0" * 40 + b"7", 7),
]
WRONG_NUMBERS = [
    *(b"", b" ", b"x", b"-1", b"+1", b"0x1", b"1x", b"1.5", b"1,0", b"\t1", b"1\t", b"1\n", b"1\r"),
    *("٣".encode(), b"99999999999999999999999999"),
]

#: Where strict numbers stand.
NUMBER_PLACES = [
    *(word + b" %b" for word, _ in ID_VERBS),
    *(b"reserve-with-timeout %b", b"pause-tube t %b"),
    *(b"bury %b 2", b"bury 1 %b"),
    *(b"release %b 2 3", b"release 1 %b 3", b"release 1 2 %b"),
    *(b"put %b 2 3 4", b"put 1 %b 3 4", b"put 1 2 %b 4", b"put 1 2 3 %b"),
]


@pytest.mark.parametrize("place", NUMBER_PLACES)
def test_a_number_is_digits_after_any_spaces(place: bytes) -> None:
    for digits, value in RIGHT_NUMBERS:
        assert read(place % digits) == read(place % b"%d" % value)


@pytest.mark.parametrize("place", [place for place in NUMBER_PLACES if place != b"put 1 2 3 %b"])
def test_a_number_is_nothing_else(place: bytes) -> None:
    for wrong in WRONG_NUMBERS:
        assert refusal(place % wrong) == (replies.BAD_FORMAT, UNCOUNTED), wrong


@pytest.mark.parametrize(
    "place", [place for place in NUMBER_PLACES if not place.startswith(b"put")]
)
def test_nothing_follows_the_last_number_not_even_a_space(place: bytes) -> None:
    for tail in (b" ", b" 5", b"x"):
        assert refusal(place % b"1" + tail) == (replies.BAD_FORMAT, UNCOUNTED)


@pytest.mark.parametrize(
    "line",
    [
        *(b"put %d 2 3 4", b"put 1 %d 3 4", b"put 1 2 %d 4", b"put 1 2 3 %d"),
        *(b"bury 1 %d", b"release 1 %d 3", b"release 1 2 %d", b"pause-tube t %d"),
    ],
)
def test_every_other_number_has_32_bits(line: bytes) -> None:
    read(line % MAX_U32)
    assert refusal(line % (MAX_U32 + 1)) == (replies.BAD_FORMAT, UNCOUNTED)


@pytest.mark.parametrize("line", [b"put", b"put ", b"put 1", b"put 1 2", b"put 1 2 3"])
def test_a_put_needs_all_four_numbers(line: bytes) -> None:
    reply = replies.UNKNOWN_COMMAND if line == b"put" else replies.BAD_FORMAT
    assert refusal(line) == (reply, UNCOUNTED)


@pytest.mark.parametrize("tail", [b"x", b" ", b" 5", b"\r", b"\n", b".0"])
def test_text_behind_the_numbers_of_a_put_is_left_to_the_parser(tail: bytes) -> None:
    command = read_line(b"put 1 2 3 4" + tail)
    assert (command.verb, command.number) == (commands.PUT, 4)
    assert command.error == replies.BAD_FORMAT


# --- the bound of a kick, as C reads it ---------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        *((b"5", 5), (b"5abc", 5), (b" 2 3", 2), (b"\t1", 1), (b"\n\v\f\r 1", 1), (b"0x5", 0)),
        *((b"+7", 7), (b"-1", MAX_U32), (b"-4294967295", 1)),
        *((b"%d" % MAX_U32, MAX_U32), (b"%d" % (MAX_U32 + 1), 0), (b"%d" % (MAX_U32 + 2), 1)),
        *((b"%d" % MAX_U64, MAX_U32), (b"-%d" % MAX_U64, 1)),
    ],
)
def test_the_bound_of_a_kick_is_read_laxly(text: bytes, bound: int) -> None:
    assert read(b"kick " + text) == (commands.KICK, bound, 0, 0, 0, b"")


@pytest.mark.parametrize("text", [b"", b"x", b"+", b"-", b"- 1", b"%d" % -(2**64), b"%d" % 2**64])
def test_the_bound_of_a_kick_is_a_number_of_64_bits_at_most(text: bytes) -> None:
    assert refusal(b"kick " + text) == (replies.BAD_FORMAT, UNCOUNTED)


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [b"a", b"Z-9+/;.$_()", b"0", b"+", b"/", b"a" * 200, b"(-)", b"_-"]
)
def test_a_name_has_these_characters(name: bytes) -> None:
    for word, verb in TUBE_VERBS:
        assert read(word + b" " + name) == (verb, 0, 0, 0, 0, name)
    assert read(b"pause-tube %b 1" % name) == (commands.PAUSE_TUBE, 1, 0, 0, 0, name)


@pytest.mark.parametrize(
    "name",
    [
        *(b"", b" a", b"a ", b"a b", b"-a", b"a*", b"a\rb", b"a\r", b"a\n", b"a\t", b"a:b", b'"a"'),
        *("ä".encode(), b"a" * 201),
    ],
)
def test_a_name_has_no_others(name: bytes) -> None:
    for word, _ in TUBE_VERBS:
        assert refusal(word + b" " + name) == (replies.BAD_FORMAT, UNCOUNTED)


@pytest.mark.parametrize("name", [b"-a", b"a" * 201])
def test_a_pause_counts_though_its_tube_can_not_be(name: bytes) -> None:
    assert refusal(b"pause-tube %b 1" % name) == (replies.BAD_FORMAT, commands.PAUSE_TUBE)


@pytest.mark.parametrize(
    "line",
    [b"pause-tube", b"pause-tube t", b"pause-tube t 1 2", b"pause-tube t1", b"pause-tube a*b 1"],
)
def test_a_pause_without_its_arguments_does_not_count(line: bytes) -> None:
    assert refusal(line) == (replies.BAD_FORMAT, UNCOUNTED)


# --- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b" ", b"x", b"xyz 1", b" stats", b"\tstats", b"STATS", b"Put 0 0 1 0", b"use\ta"),
        *(b"put", b"putx 1", b"use", b"watch", b"ignore", b"delete", b"release", b"bury", b"touch"),
        *(b"kick", b"kickx", b"kick-job", b"kick-jobx 1", b"peek", b"peekx", b"peek-read"),
        *(b"list-tube", b"list", b"reserv", b"stat", b"qui", b"pause", b"\n", b"\r"),
    ],
)
def test_a_line_that_begins_with_no_verb_is_unknown(line: bytes) -> None:
    assert refusal(line) == (replies.UNKNOWN_COMMAND, UNCOUNTED)


@pytest.mark.parametrize(
    "line",
    [
        *(b"reserve ", b"reservefoo", b"reserve-", b"reserve-with-timeout", b"reserve-job"),
        *(b"reserve-with-timeoutx 1", b"peek-readyx", b"peek-delayed ", b"peek-buried 1"),
        *(b"stats ", b"statsfoo", b"stats-job", b"stats-jobx 1", b"stats-tube", b"stats-tubex a"),
        *(b"list-tubes ", b"list-tubesx", b"list-tubes-watch", b"list-tubes-watchedx"),
        *(b"list-tube-usedx", b"list-tube-used\n", b"list-tubes\r"),
    ],
)
def test_a_line_that_goes_on_behind_a_whole_verb_is_malformed(line: bytes) -> None:
    assert refusal(line) == (replies.BAD_FORMAT, UNCOUNTED)


@pytest.mark.parametrize(
    "line", [b"\0", b"xyz\0", b"quit\0", b"stats\0", b"put 0 0 1 1\0", b"\0stats"]
)
def test_a_line_with_a_nul_is_malformed_before_anything_else(line: bytes) -> None:
    assert refusal(line) == (replies.BAD_FORMAT, UNCOUNTED)


# --- the table ----------------------------------------------------------------------------------


def test_every_verb_has_one_row_and_a_code_of_its_own() -> None:
    codes = [verb.code for verb in VERBS]
    assert sorted([*codes, commands.REFUSED]) == list(range(commands.VERB_COUNT))
    assert len({verb.word for verb in VERBS}) == len(VERBS)


def test_a_word_that_begins_another_one_stands_after_it() -> None:
    words = [verb.word for verb in VERBS]
    for place, word in enumerate(words):
        assert not any(later.startswith(word) for later in words[place + 1 :])
