"""What only those who capture, process and listen can tell of a site's file."""

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from mesh.errors import ConfigError
from mesh.registry.setups import CameraSetup
from mesh.site.problems import Problem, Where
from mesh.site.sections import ProcessSection, SiteFile

UNTRUSTED = "who is on that network could read and send frames: if it is trusted, insecure = true in [site]"


class Checks(Protocol):
    """Each raises `ConfigError`."""

    def camera(self, setup: CameraSetup) -> None:
        """Whether a camera's source and options could be used anywhere."""
        ...

    def password(self, setup: CameraSetup, registry_url: str) -> None:
        """Whether that registry may keep a camera's URL, in which a password may stand."""
        ...

    def processor(self, text: str) -> None:
        """Whether there may be such a processor, with such options."""
        ...

    def stage(self, process: ProcessSection) -> str:
        """The stage that a process node publishes, whose processors are right one by one."""
        ...

    def address(self, address: str) -> None:
        """Whether it is a loopback address, which may be listened on without a word."""
        ...

    def advertise(self, host: str) -> None:
        """Whether others could connect to it."""
        ...

    def metrics(self, listen: str) -> None:
        """Whether metrics may be served there, on a network that is trusted."""
        ...

    def destinations(self, urls: Sequence[str]) -> None:
        """Whether recordings could be forwarded there."""
        ...


def stages_of(file: SiteFile, checks: Checks) -> tuple[dict[str, str], list[Problem]]:
    """The stages that the process nodes publish, by the name of their tables."""
    stages, problems = {}, []
    for name, section in file.process.items():
        wrong = list(_of_items(("process", name, "processors"), section.processors, checks.processor))
        problems += wrong
        if wrong:
            continue
        try:
            stages[name] = checks.stage(section)
        except ConfigError as error:
            key = "stage" if section.stage and section.stage in str(error) else "processors"
            problems.append(Problem(("process", name, key), str(error)))
    return stages, problems


def of_addresses(file: SiteFile, checks: Checks) -> Iterator[Problem]:
    """Where nodes listen, and what they tell others."""
    for name, device in file.devices.items():
        yield from _of_address(("devices", name, "address"), device.address, file.site.insecure, checks)
        if device.advertise is not None:
            told: Where = ("devices", name, "advertise")
            yield from _refused(told, "--advertise ", checks.advertise, device.advertise)
    listening: dict[Where, str | None] = {("registry",): file.registry.metrics}
    listening |= {place: section.metrics for place, section in file.nodes().items()}
    for where, listen in listening.items():
        if listen is not None:
            yield from _refused((*where, "metrics"), "--metrics ", checks.metrics, listen)


def of_destinations(file: SiteFile, checks: Checks) -> Iterator[Problem]:
    """Where collectors forward to: each is looked at beside those before it."""
    for name, section in file.collect.items():
        right: list[str] = []

        def add(url: str, right: list[str] = right) -> None:
            checks.destinations([*right, url])
            right.append(url)

        for problem in _of_items(("collect", name, "forward"), section.forward, add):
            yield replace(problem, what=problem.what.removeprefix("--forward").lstrip(": "))


def of_passwords(file: SiteFile, cameras: Iterable[CameraSetup], checks: Checks) -> Iterator[Problem]:
    """Passwords that a registry on a network would keep."""
    for setup in cameras if not file.site.insecure else ():
        try:
            checks.password(setup, file.registry_url)
        except ConfigError as error:
            what = str(error).removeprefix(f"camera {setup.name}: ")
            yield Problem(("cameras", setup.name, "url"), what)


def _of_items(where: Where, texts: Iterable[str], check: Callable[[str], None]) -> Iterator[Problem]:
    """What is wrong with each item of a list."""
    for number, text in enumerate(texts):
        try:
            check(text)
        except ConfigError as error:
            yield Problem((*where, number), str(error))


def _of_address(where: Where, address: str, insecure: bool, checks: Checks) -> Iterator[Problem]:
    """A name is not looked up: it may be known on its own device only."""
    try:
        ipaddress.ip_address(address)
        checks.address(address)
    except ValueError:
        if not _is_name(address):
            yield Problem(
                where, "it is no address: write one of the device's own, or 0.0.0.0 for all of them"
            )
        elif address != "localhost" and not insecure:
            yield Problem(where, UNTRUSTED)
    except ConfigError:
        if not insecure:
            yield Problem(where, UNTRUSTED)


def _is_name(host: str) -> bool:
    try:
        host.encode("idna")  # as it is looked up
    except UnicodeError:
        return False
    return bool(host) and all(c.isalnum() or c in "-_." for c in host)


def _refused(where: Where, option: str, check: Callable[[str], None], value: str) -> Iterator[Problem]:
    try:
        check(value)
    except ConfigError as error:
        yield Problem(where, str(error).removeprefix(option))
