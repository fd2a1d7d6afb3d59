"""Cameras as they were configured: `config/cameras/NAME`, which stands under no lease.

Rules kept here: what is as usual is not stored, so that a person can read the rest; whatever is wrong is told
in one line that never shows the URL, in which a password may stand; what nobody who records understands keeps
nobody from capturing the camera.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationError,
)

from mesh.choice import choice_of
from mesh.errors import ConfigError
from mesh.names import NAME, check_name
from mesh.registry.base import Entry
from mesh.registry.records import Name, Record

PREFIX = "config/cameras/"
MAX_SIDE = 16384  # pixels
MOST_PARTITIONS = 64  # that may be asked for; the wire has room for more


def _read_size(text: object) -> object:
    """(width, height) of "640x480"; what is no text is left as it is. Raises `ValueError`."""
    if not isinstance(text, str):
        return text
    width, _, height = text.partition("x")
    if not (width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
        raise ValueError("give WIDTHxHEIGHT in pixels, such as 640x480")
    return int(width), int(height)


def _check_label(label: str) -> str:
    name, equals, value = label.partition("=")
    if label and not (equals and NAME.match(name) and NAME.match(value)):
        raise ValueError("give NAME=VALUE, such as site=gate")
    return label


def _check_choice(text: str) -> str:
    try:
        if text:
            choice_of(text)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return text


Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
Size = Annotated[
    tuple[Side, Side],
    BeforeValidator(_read_size),
    PlainSerializer(lambda size: f"{size[0]}x{size[1]}", return_type=str),
]
Finite = Field(allow_inf_nan=False)


class CameraSetup(Record):
    """`config/cameras/NAME`: a camera as it was configured, whoever captures it.

    url:         its source, with `{PLACEHOLDER}` where the node that captures it fills in a secret
    size:        (width, height) to scale to; it is stored as "640x480"
    enabled:     whether anybody is to capture it
    paused:      whether whoever captures it leaves it alone, by `mesh ctl NAME pause`
    node, label: who alone may capture it: a node's id, or whoever has the label "name=value"
    site:        the site whose file it stands in; empty for a camera that was configured by itself
    record:      what collectors record of it, as `mesh.choice` has it; empty: as they do of the others
    The rest is as `mesh node capture` has it. The name is that of the key.
    """

    name: Name
    url: Annotated[str, StringConstraints(min_length=1, max_length=4096)]
    fps: Annotated[float, Field(ge=0.001), Finite] | None = None
    size: Size | None = None
    quality: Annotated[int, Field(ge=1, le=100)] = 85
    loop: bool = False
    pace: Literal["realtime", "max"] = "realtime"
    lossless: bool = False
    stall_s: Annotated[float, Field(ge=0.1), Finite] = 10.0
    hwaccel: str = "none"
    give_up_s: Annotated[float, Field(ge=0), Finite] = 30.0
    partitions: Annotated[int, Field(ge=1, le=MOST_PARTITIONS)] = 1
    enabled: bool = True
    paused: bool = False
    node: Name | Literal[""] = ""
    label: Annotated[str, AfterValidator(_check_label)] = ""
    site: Name | Literal[""] = ""
    record: Annotated[str, AfterValidator(_check_choice)] = ""

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """What is to be recorded stays as it was written: collectors read it, each as far as it knows how."""
        written = {"name": entry.key.removeprefix(PREFIX), "record": ""}
        setup = super().of(Entry(entry.key, {**entry.value, **written}, entry.revision, entry.lease))
        return setup.model_copy(update={"record": str(entry.value.get("record", ""))})

    @classmethod
    def made(cls, name: str, values: Mapping[str, Any]) -> Self:
        """From what a person wrote. Raises `ConfigError`, also for what there is no such option."""
        check_name("camera", name)
        for option in values.keys() - cls.model_fields.keys():
            raise ConfigError(f"camera {name}: there is no option {option!r}")
        try:
            return cls.model_validate({**values, "name": name})
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            message = first["msg"].removeprefix("Value error, ")
            raise ConfigError(f"camera {name}: {first['loc'][0]}: {message}") from None

    def value(self) -> dict[str, Any]:
        """What differs from a camera of which only the URL was given."""
        others = self.model_dump(mode="json", exclude_defaults=True, exclude={"name", "url"})
        return {"url": self.url, **others}

    @property
    def key(self) -> str:
        return f"{PREFIX}{self.name}"

    @property
    def capture(self) -> Self:
        """As far as it matters to whoever captures it: setups that are alike in that need no new start."""
        apart = {"enabled": True, "paused": False, "node": "", "label": "", "site": "", "record": ""}
        return self.model_copy(update=apart)
