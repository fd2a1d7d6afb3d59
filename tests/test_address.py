import socket

import pytest

from mesh.errors import ConfigError
from nodes.address import advertised, bind_endpoint, check_advertise, check_bind, doubt

REGISTRY = "tcp://127.0.0.1:7700"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.53"])
def test_loopback_is_open(host: str) -> None:
    assert check_bind(host, insecure=False).startswith("127.")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_anything_else_asks_for_a_word(host: str) -> None:
    with pytest.raises(ConfigError, match="add --insecure"):
        check_bind(host, insecure=False)
    assert check_bind(host, insecure=True) == host


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="is no address of this machine"):
        check_bind("no such host", insecure=True)


def test_endpoints_are_on_a_free_port() -> None:
    assert bind_endpoint("127.0.0.1") == "tcp://127.0.0.1:*"
    assert bind_endpoint("::1") == "tcp://[::1]:*"


@pytest.mark.parametrize(
    ("bind", "advertise", "expected"),
    [
        ("127.0.0.1", None, "tcp://127.0.0.1:5000"),
        ("192.0.2.7", None, "tcp://192.0.2.7:5000"),
        ("192.0.2.7", "gate.example", "tcp://gate.example:5000"),
        ("0.0.0.0", "198.51.100.3", "tcp://198.51.100.3:5000"),
        ("0.0.0.0", None, "tcp://127.0.0.1:5000"),  # the way to the registry
        ("::1", None, "tcp://[::1]:5000"),
    ],
)
def test_what_others_are_told_can_be_reached(bind: str, advertise: str | None, expected: str) -> None:
    assert advertised("tcp://0.0.0.0:5000", bind, advertise, REGISTRY) == expected


def test_without_a_registry_server_loopback_is_told() -> None:
    assert advertised("tcp://0.0.0.0:5000", "0.0.0.0", None, "file:mesh.toml") == "tcp://127.0.0.1:5000"


def test_the_way_to_a_cluster_is_that_to_its_first_member() -> None:
    cluster = "etcd://127.0.0.1:2379,192.0.2.1:2379/site"
    assert advertised("tcp://0.0.0.0:5000", "0.0.0.0", None, cluster) == "tcp://127.0.0.1:5000"
    assert doubt("127.0.0.1", None, cluster) is None


def test_a_star_is_every_address() -> None:
    assert check_bind("*", insecure=True) == "0.0.0.0"
    with pytest.raises(ConfigError, match="add --insecure"):
        check_bind("*", insecure=False)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("gate.example", "gate.example"), ("192.0.2.7", "192.0.2.7"), ("[2001:db8::7]", "2001:db8::7")],
)
def test_a_host_may_be_advertised(host: str, expected: str) -> None:
    assert check_advertise(host) == expected


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "gate.example:5000", "tcp://gate.example", ""])
def test_what_nobody_can_connect_to_is_not_advertised(host: str) -> None:
    with pytest.raises(ConfigError, match="--advertise"):
        check_advertise(host)


@pytest.mark.parametrize(
    ("bind", "advertise", "registry", "expected"),
    [
        ("127.0.0.1", None, REGISTRY, None),
        ("192.0.2.7", None, REGISTRY, None),
        ("127.0.0.1", None, "file:mesh.toml", None),
        ("127.0.0.1", "gate.example", REGISTRY, None),
        ("0.0.0.0", "gate.example", REGISTRY, None),
        ("0.0.0.0", None, REGISTRY, "give --advertise HOST"),
        ("::", None, REGISTRY, "give --advertise HOST"),
    ],
)
def test_a_node_that_others_will_not_reach_says_so(
    bind: str, advertise: str | None, registry: str, expected: str | None
) -> None:
    why = doubt(bind, advertise, registry)
    assert why is None if expected is None else why is not None and expected in why


def test_a_node_on_loopback_says_that_a_registry_on_the_network_is_of_little_use() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 7700))  # sends nothing
        except OSError:
            pytest.skip("this machine has no network")
    assert "give --bind ADDRESS" in str(doubt("127.0.0.1", None, "tcp://192.0.2.1:7700"))
