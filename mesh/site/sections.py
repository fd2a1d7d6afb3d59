"""What may stand in a site's file: one frozen record a table.

Rules kept here: a key that is not known is refused, so that a slip of the pen is told and not ignored;
options of nodes are called as on the command line, and have its limits; what is relative is so to the file's
folder.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from mesh.choice import MOST_POST_S, MOST_PRE_S, Choice, add_choice
from mesh.errors import ConfigError
from mesh.recordings.limits import Limits, add_limits, free_of
from mesh.registry.etcd_address import parse_address
from mesh.registry.records import Name
from mesh.registry.wire import split_address
from mesh.site.problems import NAMED

LOOPBACK = "127.0.0.1"
EVERY = frozenset({"0.0.0.0", "::"})  # every address of a device
LEAST_LEASE_S = 0.5
MOST_PORT = 65535
LAST_PORT = MOST_PORT - 1  # the registry takes the next one, too

_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+")


class Section(BaseModel):
    """A table. Values are not bent: "5" is no number."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _is_registry(url: str) -> str:
    try:
        if url.startswith("etcd:"):
            parse_address(url)
            return url
        host, port = split_address(url)
        if port is None:
            raise ConfigError("its port has to be known")
        if not _HOST.fullmatch(host):
            raise ConfigError("its host is no name and no address")
    except ConfigError as error:
        raise ValueError(
            f"give tcp://HOST:PORT of a registry that runs, or etcd://HOST:PORT,…: {error}"
        ) from None
    return url


def _is_argument(text: str) -> str:
    if "\0" in text:
        raise ValueError("it holds a NUL, which no command can be given")
    return text


def _names_file(text: str) -> str:
    try:
        Path(text).expanduser()
    except RuntimeError:
        raise ValueError("whose home that is is not known here: write the path in full") from None
    return text


def _is_processor(text: str) -> str:
    if text.startswith("-"):
        raise ValueError("a processor begins with a letter: its options are keys of this table")
    return text


def _is_free(labels: dict[str, str]) -> dict[str, str]:
    if "device" in labels:
        raise ValueError("the label device is the device's own: write device = …")
    return labels


def _is_free_space(text: str) -> str:
    try:
        free_of(text)
    except ConfigError as error:
        raise ValueError(str(error).removeprefix("--keep-free ")) from None
    return text


def _are_limits(texts: list[str]) -> list[str]:
    found: dict[str, Limits] = {}
    return _each(texts, lambda text: add_limits(found, text), "--keep ")


def _are_choices(texts: list[str]) -> list[str]:
    found: dict[str, Choice] = {}
    return _each(texts, lambda text: add_choice(found, text), "--record ")


def _each(texts: list[str], add: Callable[[str], None], option: str) -> list[str]:
    """Has each added; every one that is refused is told, by its place in the list."""
    wrong: list[InitErrorDetails] = []
    for number, text in enumerate(texts):
        try:
            add(text)
        except ConfigError as error:
            told = {"told": str(error).removeprefix(option)}
            kind = PydanticCustomError(NAMED, "{told}", told)
            wrong.append(InitErrorDetails(type=kind, loc=(number,), input=text))
    if wrong:
        raise ValidationError.from_exception_data("list", wrong)
    return texts


def _port_as_text(value: object) -> object:
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    if not 0 <= value <= MOST_PORT:
        raise ValueError(f"it is no port: they are 0 to {MOST_PORT}")
    return str(value)


Text = Annotated[str, StringConstraints(min_length=1, max_length=4096), AfterValidator(_is_argument)]
PathText = Annotated[Text, AfterValidator(_names_file)]
Seconds = Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)]
Megabytes = Annotated[float, Field(ge=0.1, le=1e6, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Labels = Annotated[dict[Name, Name], AfterValidator(_is_free)]
Listen = Annotated[Text, BeforeValidator(_port_as_text)]  # [HOST:]PORT


class SiteSection(Section):
    """`[site]`. `insecure` says that the network between its devices is trusted."""

    name: Name = "site"
    insecure: bool = False


class RegistrySection(Section):
    """`[registry]`: the device that runs it, its port, and that of its metrics; or the `url` of one that runs
    anyway."""

    device: Name | None = None
    port: Annotated[int, Field(ge=1, le=LAST_PORT)] = 7700
    metrics: Listen | None = None
    url: Annotated[Text, AfterValidator(_is_registry)] | None = None


class DeviceSection(Section):
    """`[devices.NAME]`: where its nodes listen, and what others call it where that is something else."""

    address: Text = LOOPBACK
    advertise: Text | None = None
    labels: Labels = {}


class NodeSection(Section):
    """What all kinds of node may be told. `device` runs it: the first of the file unless given."""

    device: Name | None = None
    lease: Annotated[float, Field(ge=LEAST_LEASE_S, le=3600, allow_inf_nan=False)] | None = None
    drain: Seconds | None = None
    labels: Labels = {}
    metrics: Listen | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What goes to its command as it is: by name, without what was not given."""
        given = self.model_dump(exclude={"device", "labels", "count", *self.apart()}, exclude_unset=True)
        return {name: value for name, value in given.items() if value is not None}

    @classmethod
    def apart(cls) -> frozenset[str]:
        """The keys that are no options of the command, or need more than to be handed on."""
        return frozenset()


Copies = Annotated[int, Field(ge=1, le=64)]
Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class CaptureSection(NodeSection):
    """`[capture.NAME]`: a node that captures its share of the cameras; `secrets` is a file."""

    count: Copies = 1
    weight: Weight | None = None
    secrets: PathText | None = None


class ProcessSection(NodeSection):
    """`[process.NAME]`: a node that runs processors over a stage; `count` of them share the work."""

    processors: Annotated[list[Annotated[Text, AfterValidator(_is_processor)]], Field(min_length=1)]
    count: Copies = 1
    weight: Weight | None = None
    input: Name = "raw"
    stage: Name | None = None
    group: Name | None = None
    policy: Literal["latest", "fifo"] | None = None
    depth: Count | None = None
    max_age: Seconds | None = None
    view: Literal["auto", "frame", "shm"] | None = None
    workers: Annotated[int, Field(ge=1, le=256)] | None = None
    push: bool = True
    window_mb: Megabytes | None = None
    spool_mb: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] | None = None
    quality: Annotated[int, Field(ge=1, le=100)] | None = None

    @classmethod
    def apart(cls) -> frozenset[str]:
        return frozenset({"processors"})


class CollectSection(NodeSection):
    """`[collect.NAME]`: a node that records into a folder; `secrets` is a file."""

    into: PathText = "recordings"
    input: list[Name] = []
    segment: Annotated[float, Field(ge=1, le=86400, allow_inf_nan=False)] | None = None
    segment_mb: Megabytes | None = None
    commit_ms: Annotated[float, Field(ge=0, le=60000, allow_inf_nan=False)] | None = None
    commit_frames: Count | None = None
    durability: Literal["always", "1s", "segment"] | None = None
    keep_days: Annotated[float, Field(gt=0, le=1e5, allow_inf_nan=False)] | None = None
    keep_gb: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)] | None = None
    keep_free: Annotated[Text, AfterValidator(_is_free_space)] | None = None
    keep: Annotated[list[Text], AfterValidator(_are_limits)] = []
    forward: list[Text] = []
    secrets: PathText | None = None
    record: Annotated[list[Text], AfterValidator(_are_choices)] = []
    pre_roll: Annotated[float, Field(ge=0, le=MOST_PRE_S, allow_inf_nan=False)] | None = None
    post_roll: Annotated[float, Field(ge=0, le=MOST_POST_S, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _says_once_when_to_commit(self) -> Self:
        if self.durability is not None and (self.commit_ms is not None or self.commit_frames is not None):
            raise ValueError("durability says when to commit: leave out commit_ms and commit_frames")
        return self

    @classmethod
    def apart(cls) -> frozenset[str]:
        return frozenset({"into"})


class SiteFile(Section):
    """A whole file. Cameras are read one by one (`mesh.site.reading`): they are the registry's records."""

    site: SiteSection = SiteSection()
    registry: RegistrySection = RegistrySection()
    devices: dict[Name, DeviceSection] = {}
    cameras: dict[Name, dict[str, Any]] = {}
    capture: dict[Name, CaptureSection] = {}
    process: dict[Name, ProcessSection] = {}
    collect: dict[Name, CollectSection] = {}

    def nodes(self) -> dict[tuple[str, str], NodeSection]:
        """Every node's table, by (kind, name)."""
        kinds: dict[str, dict[str, Any]] = {
            "capture": self.capture,
            "process": self.process,
            "collect": self.collect,
        }
        return {(kind, name): section for kind, found in kinds.items() for name, section in found.items()}

    def device_of(self, device: str | None) -> str:
        """The device that what names `device` belongs to: the first of the file where it names none, and
        nothing where there are none."""
        return device or next(iter(self.devices), "")

    def device(self, name: str) -> DeviceSection:
        """A device by name; without one, this machine and nothing else."""
        return self.devices[name] if name else DeviceSection()

    @property
    def registry_url(self) -> str:
        """Where all find one another."""
        if self.registry.url is not None:
            return self.registry.url
        device = self.device(self.device_of(self.registry.device))
        return f"tcp://{bracketed(device.advertise or device.address)}:{self.registry.port}"


def bracketed(host: str) -> str:
    """A host as it stands in a URL."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def inside(folder: Path, path: str) -> str:
    """A path of the file as this device has it: what is relative lies in the file's folder."""
    return str(folder / Path(path).expanduser())
