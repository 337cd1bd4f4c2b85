"""Settings: what is typed, what it means, and what is refused with which words."""

import pytest

from beanrow.server.config import Config, LogFormat, Options
from beanrow.server.errors import ConfigError

HERE = ("127.0.0.1",)


def config(**typed: str) -> Config:
    return Config.from_options(Options(listen=HERE, **typed))  # type: ignore[arg-type]


def test_nothing_typed_is_the_default_config() -> None:
    assert Config.from_options(Options(listen=HERE)) == Config()


def test_every_option_arrives() -> None:
    typed = Options(
        listen=("::1", "unix:/run/queue"),
        port="0",
        user="nobody",
        max_job_size="0",
        verbosity=2,
        log_format="json",
    )
    assert Config.from_options(typed) == Config(
        listen=("::1", "unix:/run/queue"),
        port=0,
        user="nobody",
        max_job_bytes=0,
        verbosity=2,
        log_format=LogFormat.JSON,
    )


def test_a_port_may_be_the_name_of_a_service() -> None:
    assert config(port="https").port == 443


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"port": "x"}, "-p 'x'"),
        ({"port": ""}, "-p ''"),
        ({"port": "-1"}, "-p '-1'"),
        ({"port": "65536"}, "-p 65536"),
        ({"port": "9" * 5000}, "-p '999"),
        ({"max_job_size": "x"}, "-z 'x'"),
        ({"max_job_size": "12x"}, "-z '12x'"),
        ({"max_job_size": ""}, "-z ''"),
        ({"max_job_size": "-1"}, "-z '-1'"),
        ({"max_job_size": "٣"}, "-z '٣'"),
        ({"fsync_interval": "soon"}, "-f 'soon'"),
        ({"segment_size": "1.5"}, "-s '1.5'"),
        ({"user": ""}, "-u ''"),
        ({"log_format": "xml"}, "--log-format 'xml': unknown; give text or json"),
        ({"journal": "/var/lib/queue"}, "-b /var/lib/queue"),
    ],
)
def test_an_unusable_value_is_named_in_one_line(typed: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config(**typed)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.exit_status == 5


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
        fsync_interval="0",
        never_fsync=True,
        segment_size="4096",
        obsolete=("-c", "-n"),
    )
    notes = Config.from_options(typed).notes
    assert [note.split()[0] for note in notes] == ["-f", "-F", "-s", "-c", "-n"]
