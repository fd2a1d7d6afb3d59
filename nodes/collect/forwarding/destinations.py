"""Where a collector forwards to, from what stands on its command line or in a site's file.

Rules kept here: secrets stand in the node's environment or in a file that nobody else may read, and in the
URL as `{NAME}`; a URL that holds one itself is refused.
"""

from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from mesh.errors import ConfigError
from nodes.collect.forwarding import broker, endpoint
from nodes.collect.forwarding.address import Address, addresses
from nodes.collect.forwarding.signing import check_placed
from nodes.secrets import PLACEHOLDER, check_placeholders, fill

_OPTIONS: Mapping[str, Callable[[Address], object]] = {
    "mqtt": broker.options_of,
    "mqtts": broker.options_of,
    "http": endpoint.options_of,
    "https": endpoint.options_of,
}


def destinations(urls: Iterable[str], secrets: Mapping[str, str]) -> tuple[Address, ...]:
    """With their placeholders filled in. Raises `ConfigError`."""
    return addresses([_filled(url, secrets) for url in urls])


def check_destinations(urls: Iterable[str]) -> None:
    """Whether these could be destinations, whatever their secrets are, and the files that they name. Raises
    `ConfigError`."""
    urls = list(urls)
    for url in urls:
        _check(url)
    for address in addresses(urls):
        if check := _OPTIONS.get(address.scheme):
            check(address)


def _filled(url: str, secrets: Mapping[str, str]) -> str:
    _check(url)
    return fill(url, secrets)


def _check(url: str) -> None:
    try:
        check_placed(url)
        _check_password(url)
        check_placeholders(url)
    except ConfigError as error:
        raise ConfigError(f"--forward: {error}") from None


def _check_password(url: str) -> None:
    """Whoever lists this machine's processes sees their command lines. Raises `ConfigError`."""
    try:
        password = urlsplit(url).password
    except ValueError:
        return  # it is no URL: told when it is parsed
    if password and PLACEHOLDER.sub("", password):
        raise ConfigError(
            "a password stands in the URL, where others can read it: write USER:{NAME}@ there, and "
            "NAME=… in the node's environment or its --secrets FILE"
        )
