"""Settings: what is typed, what it means, and what is refused with which words."""

import socket
from pathlib import Path

import pytest

from beanrow.server.config import Config, LogFormat, Options
from beanrow.server.errors import ConfigError, ListenError, StartError

HERE = ("127.0.0.1",)

Typed = str | tuple[str | None, ...]


def config(**typed: Typed) -> Config:
    return Config.from_options(Options(listen=HERE, **typed))  # type: ignore[arg-type]


def test_nothing_typed_is_the_default_config() -> None:
    assert Config.from_options(Options(listen=HERE)) == Config()


def test_every_option_arrives() -> None:
    typed = Options(
        listen=("::1", "unix:/run/queue"),
        port="0",
        user="nobody",
        max_job_size="0",
        journal="data",
        fsync=("0",),
        segment_size="4096",
        verbosity=2,
        log_format="json",
    )
    assert Config.from_options(typed) == Config(
        listen=("::1", "unix:/run/queue"),
        port=0,
        user="nobody",
        max_job_bytes=0,
        journal=Path("data"),
        sync_interval_ms=0,
        segment_bytes=4096,
        verbosity=2,
        log_format=LogFormat.JSON,
    )


def test_a_port_may_be_the_name_of_a_service() -> None:
    try:
        port = socket.getservbyname("https", "tcp")
    except OSError:
        pytest.skip("this machine knows no services by name (/etc/services)")
    assert config(port="https").port == port


@pytest.mark.parametrize(
    ("typed", "words", "cause"),
    [
        ({"port": "x"}, "-p 'x'", ListenError),
        ({"port": ""}, "-p ''", ListenError),
        ({"port": "-1"}, "-p '-1'", ListenError),
        ({"port": "\udcff"}, "-p '\\udcff'", ListenError),
        ({"port": "65536"}, "-p 65536", ListenError),
        ({"port": "9" * 5000}, "-p '999", ListenError),
        ({"max_job_size": "x"}, "-z 'x'", ConfigError),
        ({"max_job_size": "12x"}, "-z '12x'", ConfigError),
        ({"max_job_size": ""}, "-z ''", ConfigError),
        ({"max_job_size": "-1"}, "-z '-1'", ConfigError),
        ({"max_job_size": "\u0663"}, "-z '\u0663'", ConfigError),
        ({"segment_size": "1.5"}, "-s '1.5'", ConfigError),
        ({"user": ""}, "-u ''", ConfigError),
        ({"log_format": "xml"}, "--log-format 'xml': unknown; give text or json", ConfigError),
        ({"fsync": ("soon", None)}, "-f 'soon'", ConfigError),
        ({"fsync": ("4294967296",)}, "-f 4294967296: too long", ConfigError),
        ({"segment_size": "1099511627777"}, "-s 1099511627777: too large", ConfigError),
        ({"journal": ""}, "-b ''", ConfigError),
        ({"journal": "a\0b"}, "-b 'a\\x00b'", ConfigError),
    ],
)
def test_an_unusable_value_is_named_in_one_line(
    typed: dict[str, Typed], words: str, cause: type[StartError]
) -> None:
    with pytest.raises(cause) as refused:
        config(**typed)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("address", ["", "unix:"])
def test_an_address_without_a_place_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="names nothing to listen on"):
        Config.from_options(Options(listen=(*HERE, address)))


@pytest.mark.parametrize(
    ("typed", "bytes_allowed", "is_noted"),
    [("1073741824", 1073741824, False), ("1073741825", 1073741824, True)],
)
def test_the_largest_job_size_is_the_end(typed: str, bytes_allowed: int, is_noted: bool) -> None:
    checked = config(max_job_size=typed)
    assert checked.max_job_bytes == bytes_allowed
    assert any("maximum job size was set to 1073741824" in n for n in checked.notes) == is_noted


def test_options_without_effect_are_noted() -> None:
    typed = Options(
        listen=HERE,
        fsync=("0", None),
        segment_size="4096",
        obsolete=("-c", "-n"),
    )
    notes = Config.from_options(typed).notes
    assert [note.split()[0] for note in notes] == ["-f", "-F", "-s", "-c", "-n"]


def test_with_a_journal_nothing_about_it_is_without_effect() -> None:
    typed = Options(listen=HERE, journal="data", fsync=("0", None), segment_size="4096")
    assert Config.from_options(typed).notes == ()


@pytest.mark.parametrize(
    ("typed", "interval_ms"),
    [
        ((), 50),
        (("0",), 0),
        (("100",), 100),
        ((None,), None),
        (("0", None), None),
        ((None, "0"), 0),
        (("0", "7"), 7),
        ((None, None), None),
    ],
)
def test_the_last_word_on_syncing_counts(
    typed: tuple[str | None, ...], interval_ms: int | None
) -> None:
    assert Config.from_options(Options(listen=HERE, fsync=typed)).sync_interval_ms == interval_ms
