"""Lists of a site's file: everything that is wrong is told, on the line of its item."""

from pathlib import Path

import pytest

from tests.site.support import problems_of

PROCESSORS = """[process.p]
processors = [
    "motion:sensitivity=7",  # from 0 to 1
    "passthrough", "motion:foo=1"
    , "codes:kinds=zz"
]
"""
CHOICES = """[collect.r]
record = [

    "sometimes", "motion",
    "off",
    "door=off", "door=motion",
]
keep = ["door=7",
    # "door=1d"
    "door=7d",
    "door=8d"]
"""
FORWARD = """[collect.r]
forward = [
    "tcp://hq:7700",
    "ftp://hq",
    "tcp://hq:7700",
    '''
tcp://hq
''', "tcp://hq:7800",
    "mqtt://hq/+",
]
"""
INPUT = """[collect.r]
input = [
    "raw",
    "raw",
    "none",
]
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            PROCESSORS,
            [
                "3: process.p.processors: motion: sensitivity=7 is wrong",
                "4: process.p.processors: motion has no option 'foo'",
                "5: process.p.processors: codes: kinds=zz is wrong",
            ],
        ),
        (
            CHOICES,
            [
                "4: collect.r.record: 'sometimes': 'sometimes' is no choice",
                "5: collect.r.record: 'off': what holds for all cameras is said already",
                "6: collect.r.record: 'door=motion': camera door has its choice already",
                "8: collect.r.keep: 'door=7': '7' is no limit",
                "11: collect.r.keep: 'door=8d': '8d' is no limit a second time",
            ],
        ),
        (
            FORWARD,
            [
                "4: collect.r.forward: 'ftp://hq' is no destination",
                "5: collect.r.forward: tcp://hq:7700 is given twice",
                "6: collect.r.forward: ",
                "9: collect.r.forward: mqtt://hq:1883: ",
            ],
        ),
        (
            INPUT,
            [
                "4: collect.r.input: a stage stands there twice",
                "5: collect.r.input: nobody makes the stage 'none': there are raw",
            ],
        ),
        ('[process.p]\nprocessors = ["motion", 5]', ["2: process.p.processors: item 2: it is a text: "]),
    ],
)
def test_each_item_that_is_wrong_is_told_on_its_own_line(text: str, told: list[str], tmp_path: Path) -> None:
    problems = problems_of(tmp_path, text)
    assert len(told) == len(problems), problems
    for one, problem in zip(told, problems, strict=True):
        assert problem.startswith(one), problem
