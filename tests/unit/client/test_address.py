"""An address may be written in several ways, and a wrong one is told before connecting."""

from typing import Any

import pytest

from beanrow.client.address import Address, TCPAddress, UnixAddress, parse_address
from beanrow.errors import InvalidArgument


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("localhost", 11300, TCPAddress("localhost", 11300)),
        ("localhost", "11301", TCPAddress("localhost", 11301)),
        ("localhost:11301", 11300, TCPAddress("localhost", 11301)),
        ("beanstalk://mail.example:11301", 11300, TCPAddress("mail.example", 11301)),
        ("beanstalk://mail.example/", 11300, TCPAddress("mail.example", 11300)),
        ("::1", 11300, TCPAddress("::1", 11300)),
        ("fe80::1%eth0", 11300, TCPAddress("fe80::1%eth0", 11300)),
        ("[::1]", 11300, TCPAddress("::1", 11300)),
        ("[::1]:11301", 11300, TCPAddress("::1", 11301)),
        ("beanstalk://[::1]:11301", 11300, TCPAddress("::1", 11301)),
        ("/a/b c.sock", 11300, UnixAddress("/a/b c.sock")),
        ("unix:a/b c.sock", 11300, UnixAddress("a/b c.sock")),
        ("unix:/a/b.sock", 11300, UnixAddress("/a/b.sock")),
        ("unix:///a/b.sock", 11300, UnixAddress("/a/b.sock")),
    ],
)
def test_an_address_is_read(host: str, port: int | str, address: Address) -> None:
    assert parse_address(host, port) == address


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("", 11300),
        ("a b", 11300),
        ("redis://a", 11300),
        ("beanstalk://", 11300),
        ("beanstalk://a/b", 11300),
        ("beanstalk://user@a", 11300),
        ("a:", 11300),
        ("a:b", 11300),
        ("a:0", 11300),
        ("a:65536", 11300),
        ("a", 0),
        ("a", "http"),
        ("a", "-1"),
        ("[::1", 11300),
        ("unix:", 11300),
        ("a..b", 11300),
        ("a" * 64, 11300),
        ("\udcff", 11300),
        ("localhost\0.example", 11300),
        ("/tmp/\ud800", 11300),
        ("unix:/tmp/\ud800", 11300),
        ("unix:/tmp/a\0b", 11300),
        (None, 11300),
        (b"localhost", 11300),
        ("localhost", None),
    ],
)
def test_what_is_no_address_is_refused(host: Any, port: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"address|port"):
        parse_address(host, port)


@pytest.mark.parametrize("text", ["mail:11301", "[::1]:11300", "unix:/a/b.sock"])
def test_an_address_is_shown_as_it_may_be_written(text: str) -> None:
    assert str(parse_address(text)) == text
