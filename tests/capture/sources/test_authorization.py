"""Answers to HTTP's challenges, against the examples of their standards."""

import pytest

from nodes.capture.sources.authorization import Credentials, answer

MUFASA = Credentials("Mufasa", "Circle of Life")
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
RFC7616 = (
    f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={{}}, nonce="{NONCE}", '
    'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616(algorithm: str, response: str) -> None:
    said = answer([RFC7616.format(algorithm)], MUFASA, "GET", "/dir/index.html", CNONCE)
    assert said is not None
    assert f'response="{response}"' in said
    for field in (
        'username="Mufasa"',
        'uri="/dir/index.html"',
        "qop=auth",
        "nc=00000001",
        f'nonce="{NONCE}"',
    ):
        assert field in said


def test_the_example_of_rfc_2069() -> None:
    """Before `qop`; some old cameras still. The response is that of its errata."""
    challenge = (
        'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    said = answer([challenge], Credentials("Mufasa", "CircleOfLife"), "GET", "/dir/index.html", "c")
    assert said is not None
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in said
    assert "cnonce" not in said


def test_basic() -> None:
    assert answer(['Basic realm="x"'], Credentials("u", "pé:x"), "GET", "/", "c") == "Basic dTpww6k6eA=="


def test_the_strongest_is_answered_and_an_unknown_one_is_not() -> None:
    md5, sha, odd = (RFC7616.format(name) for name in ("MD5", "SHA-256", "SHA-512-256"))
    basic = 'Basic realm="x"'
    for challenges in ([basic, md5, sha], [sha, md5, basic], [odd, sha]):
        assert "algorithm=SHA-256" in str(answer(challenges, MUFASA, "GET", "/", "c"))
    assert str(answer([basic, odd], MUFASA, "GET", "/", "c")).startswith("Basic ")
    assert str(answer([md5, basic], MUFASA, "GET", "/", "c")).startswith("Digest ")
    assert answer([odd, "Negotiate", "Digest", ""], MUFASA, "GET", "/", "c") is None


def test_credentials_do_not_show() -> None:
    assert "Circle" not in repr(MUFASA)
    assert "Mufasa" not in repr(MUFASA)


@pytest.mark.parametrize("odd", ["Basic realm=", "NTLM TlRMTVNTUAAB=", 'Digest realm="x", opaque=, nonce='])
def test_a_challenge_without_values_is_passed_over(odd: str) -> None:
    who = Credentials("me", "secret")
    assert answer([odd, 'Basic realm="cam"'], who, "GET", "/", "c") is not None
