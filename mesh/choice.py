"""What of a camera is recorded, as people write it. Pure.

    continuous                       everything, as where nothing is said
    motion,pre=3,post=20             while something moves, 3 s before and 20 s after
    events,label=person,score=0.6    while something is found that is more than motion; here of one label
    motion,stage=motion              of all that comes of that camera, one stage alone
    off                              nothing

Rules kept here: one way of writing it everywhere: on a command line, in a site's file, with a camera; what is
no choice is a `ConfigError` that says how one is written. Whether a frame is wanted is told by what was found
in that frame, by whoever worked on it.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum, auto

from mesh.errors import ConfigError
from mesh.names import check_name

MOTION = "motion"  # the label of what moves
TRUTH = "truth"  # by whom a synthetic camera's own boxes are
PRE_S, POST_S = 5.0, 10.0
MOST_PRE_S, MOST_POST_S = 600.0, 86_400.0
EXAMPLE = "write continuous, motion, events or off, such as motion,pre=5,post=10"

_WITH_FOUND = "goes with motion and events"


class Mode(StrEnum):
    """What is recorded of a camera."""

    CONTINUOUS = "continuous"
    MOTION = "motion"
    EVENTS = "events"
    OFF = "off"


class Takes(Enum):
    """What a choice takes of a stage: every frame, none, or those around what was found."""

    ALL = auto()
    NONE = auto()
    FOUND = auto()


@dataclass(frozen=True, slots=True)
class Choice:
    """What is recorded of one camera.

    pre_s, post_s:  seconds before and after what was found; None: as the collector has it
    stage:          the only one that is recorded; empty: all of them
    labels, score:  what has to be found (none: anything but motion), and how surely at least
    """

    mode: Mode = Mode.CONTINUOUS
    pre_s: float | None = None
    post_s: float | None = None
    stage: str = ""
    labels: tuple[str, ...] = ()
    score: float | None = None

    def takes(self, stage: str) -> Takes:
        if self.mode is Mode.OFF or self.stage not in ("", stage):
            return Takes.NONE
        return Takes.ALL if self.mode is Mode.CONTINUOUS else Takes.FOUND

    def is_met_by(self, label: str, score: float, by: str = "") -> bool:
        """Whether that is what is to be found. What its source itself knows was found by nobody."""
        if by == TRUTH or (self.score is not None and not score >= self.score):
            return False
        if self.mode is Mode.MOTION:
            return label == MOTION
        return label in self.labels if self.labels else label != MOTION


EVERYTHING = Choice()


@dataclass(frozen=True, slots=True)
class Choices:
    """A collector's choices: for cameras of which nothing else is known, and those that go before what a
    camera's own setup says; and the rolls where a choice names none."""

    default: Choice = EVERYTHING
    own: Mapping[str, Choice] = field(default_factory=dict)
    pre_s: float = PRE_S
    post_s: float = POST_S

    def of(self, camera: str, setup: Choice | None) -> Choice:
        """What holds for a camera whose setup says that (None: nothing), with its rolls."""
        choice = self.own.get(camera) or setup or self.default
        pre_s = self.pre_s if choice.pre_s is None else choice.pre_s
        post_s = self.post_s if choice.post_s is None else choice.post_s
        return replace(choice, pre_s=pre_s, post_s=post_s)


def choice_of(text: str) -> Choice:
    """`MODE[,pre=S][,post=S][,stage=NAME][,label=NAME]…[,score=X]`. Raises `ConfigError`."""
    word, *options = (part.strip() for part in text.split(","))
    if word not in set(Mode):
        raise ConfigError(f"{word!r} is no choice: {EXAMPLE}")
    choice = Choice(Mode(word))
    for option in options:
        choice = _with(choice, option)
    return choice


def choices_of(texts: Iterable[str], pre_s: float = PRE_S, post_s: float = POST_S) -> Choices:
    """From `MODE…` and `CAMERA=MODE…` as they stand on a command line. Raises `ConfigError`."""
    own: dict[str, Choice] = {}
    for text in texts:
        add_choice(own, text)
    default = own.pop("", EVERYTHING)
    rolls = _number("--pre-roll", str(pre_s), MOST_PRE_S), _number("--post-roll", str(post_s), MOST_POST_S)
    return Choices(default, own, *rolls)


def add_choice(found: dict[str, Choice], text: str) -> None:
    """Add what `MODE…` or `CAMERA=MODE…` says to the choices that were found, by camera; that for all is of
    the camera "". Raises `ConfigError`."""
    camera, choice = entry_of(text)
    if camera in found:
        what = f"camera {camera} has its choice" if camera else "what holds for all cameras is said"
        raise ConfigError(f"--record {text!r}: {what} already")
    found[camera] = choice


def entry_of(text: str) -> tuple[str, Choice]:
    """The camera that `MODE…` or `CAMERA=MODE…` is for (empty: all), and its choice. Raises `ConfigError`."""
    camera, what = _split(text)
    try:
        choice = choice_of(what)
    except ConfigError as error:
        raise ConfigError(f"--record {text!r}: {error}") from None
    return check_name("camera", camera) if camera else "", choice


def _split(text: str) -> tuple[str, str]:
    """The camera that a choice is for (empty: all), and the choice: `events,label=x` is for all."""
    camera, equals, what = text.partition("=")
    return (camera, what) if equals and "," not in camera else ("", text)


PRE, POST = "pre", "post"


def _with(choice: Choice, option: str) -> Choice:
    name, equals, value = option.partition("=")
    if name not in _OPTIONS or not equals:
        raise ConfigError(f"{option!r} is no option of it: there are {', '.join(f'{n}=' for n in _OPTIONS)}")
    return _OPTIONS[name](choice, value)


def _pre(choice: Choice, value: str) -> Choice:
    _check(choice, PRE, choice.pre_s)
    return replace(choice, pre_s=_number(PRE, value, MOST_PRE_S))


def _post(choice: Choice, value: str) -> Choice:
    _check(choice, POST, choice.post_s)
    return replace(choice, post_s=_number(POST, value, MOST_POST_S))


def _score(choice: Choice, value: str) -> Choice:
    _check(choice, "score", choice.score)
    return replace(choice, score=_number("score", value, 1.0))


def _label(choice: Choice, value: str) -> Choice:
    if choice.mode is not Mode.EVENTS:
        raise ConfigError(f"label={value} goes with events")
    if not value:
        raise ConfigError("label= names none: write label=person")
    return replace(choice, labels=(*choice.labels, value))


def _stage(choice: Choice, value: str) -> Choice:
    if choice.mode is Mode.OFF:
        raise ConfigError("stage= goes with what is recorded, not with off")
    if choice.stage:
        raise ConfigError("stage= stands in it twice")
    return replace(choice, stage=check_name("stage", value))


_OPTIONS: Mapping[str, Callable[[Choice, str], Choice]] = {
    PRE: _pre,
    POST: _post,
    "stage": _stage,
    "label": _label,
    "score": _score,
}


def _check(choice: Choice, name: str, given: float | None) -> None:
    if choice.mode not in (Mode.MOTION, Mode.EVENTS):
        raise ConfigError(f"{name}= {_WITH_FOUND}")
    if given is not None:
        raise ConfigError(f"{name}= stands in it twice")


def _number(name: str, text: str, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= most:
        raise ConfigError(f"{name}={text}: give a number from 0 to {most:g}")
    return number
