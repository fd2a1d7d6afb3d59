"""What of a camera is recorded, as people write it."""

import math

import pytest

from mesh.choice import EVERYTHING, Choice, Choices, Mode, Takes, choice_of, choices_of
from mesh.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("continuous", EVERYTHING),
        ("continuous,stage=motion", Choice(stage="motion")),
        ("motion,pre=3,post=20", Choice(Mode.MOTION, 3.0, 20.0)),
        ("motion, score=0.25", Choice(Mode.MOTION, score=0.25)),
        (
            "events,pre=0,label=person,label=big car,stage=objects",
            Choice(Mode.EVENTS, 0.0, stage="objects", labels=("person", "big car")),
        ),
        ("off", Choice(Mode.OFF)),
    ],
)
def test_a_choice_is_a_mode_and_options(text: str, choice: Choice) -> None:
    assert choice_of(text) == choice


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "'' is no choice: write continuous, motion, events or off, such as motion,pre=5"),
        ("always", "'always' is no choice"),
        ("motion,pre", "'pre' is no option of it: there are pre=, post=, stage=, label=, score="),
        ("motion,before=3", "'before=3' is no option of it"),
        ("motion,pre=x", "pre=x: give a number from 0 to 600"),
        ("motion,pre=nan", "pre=nan: give a number from 0 to 600"),
        ("motion,post=-1", "post=-1: give a number from 0 to 86400"),
        ("motion,score=1.5", "score=1.5: give a number from 0 to 1"),
        ("motion,pre=1,pre=2", "pre= stands in it twice"),
        ("motion,stage=a,stage=b", "stage= stands in it twice"),
        ("motion,stage=A", "stage"),
        ("motion,label=person", "label=person goes with events"),
        ("events,label=", "label= names none: write label=person"),
        ("continuous,post=3", "post= goes with motion and events"),
        ("continuous,score=0.5", "score= goes with motion and events"),
        ("off,stage=motion", "stage= goes with what is recorded, not with off"),
    ],
)
def test_what_is_no_choice_is_refused_and_says_how_one_is_written(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choice_of(text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_collector_is_told_of_all_cameras_and_of_some() -> None:
    choices = choices_of(["motion", "door=events,label=person"], 3, 20)
    assert choices.of("gate", None) == Choice(Mode.MOTION, 3, 20)
    assert choices.of("door", None) == Choice(Mode.EVENTS, 3, 20, labels=("person",))
    labelled = choices_of(["events,label=person"])
    assert labelled.of("door", None) == Choice(Mode.EVENTS, 5, 10, labels=("person",))


def test_a_cameras_own_line_goes_before_its_setup_and_that_before_what_holds_for_all() -> None:
    choices = choices_of(["motion", "door=off"], pre_s=1)
    setup = choice_of("events,pre=7")
    assert choices.of("door", setup).mode is Mode.OFF
    assert choices.of("gate", setup) == Choice(Mode.EVENTS, 7, 10)
    assert choices.of("gate", None) == Choice(Mode.MOTION, 1, 10)
    assert Choices().of("gate", None).takes("any") is Takes.ALL


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["motion", "events"], "--record 'events': what holds for all cameras is said already"),
        (["door=motion", "door=off"], "camera door has its choice already"),
        (["door=sometimes"], "--record 'door=sometimes': 'sometimes' is no choice"),
        (["Door=motion"], "camera"),
    ],
)
def test_a_collectors_choices_are_refused_in_a_line(texts: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        choices_of(texts)


def test_rolls_beyond_the_limits_are_refused() -> None:
    with pytest.raises(ConfigError, match="--pre-roll=601: give a number from 0 to 600"):
        choices_of([], pre_s=601)


def test_what_is_to_be_found() -> None:
    motion, events = choice_of("motion,score=0.5"), choice_of("events")
    assert motion.is_met_by("motion", 0.5)
    assert not motion.is_met_by("motion", 0.49)
    assert not motion.is_met_by("motion", math.nan)
    assert not motion.is_met_by("person", 1.0)
    assert events.is_met_by("person", math.nan)
    assert not events.is_met_by("motion", 1.0)
    assert not events.is_met_by("person", 1.0, by="truth")
    some = choice_of("events,label=person,label=motion")
    assert [some.is_met_by(label, 0.1) for label in ("person", "motion", "car")] == [True, True, False]


def test_a_choice_may_take_one_stage_alone() -> None:
    assert [choice_of("continuous,stage=a").takes(stage) for stage in "ab"] == [Takes.ALL, Takes.NONE]
    assert [choice_of("motion,stage=a").takes(stage) for stage in "ab"] == [Takes.FOUND, Takes.NONE]
    assert choice_of("off").takes("a") is Takes.NONE
