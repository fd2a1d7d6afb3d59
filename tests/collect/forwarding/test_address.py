"""Destinations as people write them."""

import pytest

from mesh.errors import ConfigError
from nodes.collect.forwarding.address import Address, addresses, parse, since_ns, without_from
from nodes.collect.forwarding.destinations import destinations

HOUR_NS = 3_600_000_000_000


def test_a_url_is_read_in_its_parts() -> None:
    found = parse("tcp://[2001:db8::1]:7700/attic?from=2026-11-30T10:00%2B01:00")
    assert found == Address("tcp", "2001:db8::1", 7700, "/attic", options={"from": "2026-11-30T10:00+01:00"})
    assert str(found) == "tcp://[2001:db8::1]:7700/attic", "what it is told apart by"
    assert without_from(found).options == {}
    assert parse("tcp://hq:7700?from=2026-11-30T10:00+01:00").options == found.options, "a plus is a plus"


@pytest.mark.parametrize(
    ("option", "since"),
    [("", None), ("?from=begin", 0), ("?from=-2h", 8 * HOUR_NS), ("?from=now", 10 * HOUR_NS)],
)
def test_from_when_on(option: str, since: int | None) -> None:
    assert since_ns(parse(f"tcp://hq:7700{option}"), 10 * HOUR_NS) == since


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("hq.example:7700", "write tcp://HOST:PORT"),
        ("udp://hq.example:7700", "write tcp://HOST:PORT"),
        ("tcp://hq.example", "give the port of its registry"),
        ("tcp://hq.example:65535", "give the port of its registry"),
        ("tcp://hq.example:port", "its host or port is none"),
        ("mqtt://hq.example:0/site", "nothing listens at port 0"),
        ("tcp://:7700", "is not written as a URL is"),
        ("tcp://hq.example:7700/Attic", "is not a name"),
        ("tcp://hq.example:7700?since=-2h", "there is no option 'since'; there is from"),
        ("tcp://hq.example:7700?from=soon", "'soon' is no time"),
        ("tcp://hq.example:7700?from=-2h&from=-3h", "write each option once"),
        ("tcp://user:hunter2@hq.example:7700", "takes no user and no password"),
        ("ftp://user:hunter2@hq.example/?password=hunter2", "write tcp://HOST:PORT"),
        ("tcp://user:hunter2@hq.example:x", "its host or port is none"),
    ],
)
def test_what_cannot_be_a_destination_is_refused_in_a_line_without_secrets(url: str, told: str) -> None:
    with pytest.raises(ConfigError, match=r".") as refused:
        addresses([url])
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_destination_stands_once() -> None:
    assert len(addresses(["tcp://hq:7700", "tcp://hq:7700/attic"])) == 2
    with pytest.raises(ConfigError, match="given twice"):
        addresses(["tcp://hq:7700?from=-2h", "tcp://hq:7700"])
    with pytest.raises(ConfigError, match="given twice"):
        addresses(["tcp://hq:7700", "tcp://HQ:7700/"])


def test_a_password_is_filled_in_and_stands_in_no_url() -> None:
    (address,) = destinations(["mqtt://{WHO}:{HOW}@hq/site"], {"WHO": "edge", "HOW": "open@sesame"})
    assert (address.user, address.password) == ("edge", "open@sesame")
    for url in ("mqtt://edge:hunter2@hq/site", "http://edge:{HOW}2@hq/?unsigned=1"):
        with pytest.raises(ConfigError, match=r"stands in the URL.*\{NAME\}") as refused:
            destinations([url], {"HOW": "hunter"})
        assert "hunter" not in str(refused.value)
