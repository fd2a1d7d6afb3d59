"""How a processor is named, its options checked, and somebody's own module loaded."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mesh.errors import ConfigError
from mesh.frame import Frame
from nodes.process.processors.catalog import (
    CATALOG,
    ProcessorSpec,
    describe,
    factory,
    known,
    parse_spec,
)
from nodes.process.processors.motion import Motion
from nodes.process.processors.regions import Region
from tests.process.support import ROOT, frame


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory of somebody's own; what it adds to the interpreter is taken away again."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != ""])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def refusal(spec: str) -> str:
    with pytest.raises(ConfigError) as caught:
        factory(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("motion", "motion", {}),
        ("motion:sensitivity=0.7,min_area=0.01", "motion", {"sensitivity": "0.7", "min_area": "0.01"}),
        ("motion:mask=9x9+0+0/4x4+2+1,warmup=5", "motion", {"mask": "9x9+0+0/4x4+2+1", "warmup": "5"}),
        ("motion:mask=[[0,0,9,9],[1,2,3,4]],b=5", "motion", {"mask": "[[0,0,9,9],[1,2,3,4]]", "b": "5"}),
        ("pkg.mod:Blur", "pkg.mod:Blur", {}),
        ("pkg.mod:Blur:radius=3,kind=box", "pkg.mod:Blur", {"radius": "3", "kind": "box"}),
        ("pkg.mod:Outer.Inner:a=b:c", "pkg.mod:Outer.Inner", {"a": "b:c"}),
        ("pkg.mod:f:text='a,b',other=\"c=d\"", "pkg.mod:f", {"text": "a,b", "other": "c=d"}),
        ("x:empty=", "x", {"empty": ""}),
    ],
)  # fmt: skip
def test_what_can_be_typed(text: str, name: str, options: dict[str, str]) -> None:
    assert parse_spec(text) == ProcessorSpec(name, options)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is neither NAME"),
        ("mo tion", "is neither NAME"),
        ("motion:sensitivity=1,oops", "'oops' is not option=value"),
        ("motion:warmup=1,warmup=2", "gives 'warmup' twice"),
        ("motion:mask=[[1,2", "a ] is missing"),
        ("motion:mask='x", "a ' is missing"),
    ],
)
def test_what_cannot_be_typed(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(why)):
        parse_spec(text)


def test_the_catalog() -> None:
    assert set(CATALOG) == {"codes", "motion", "passthrough"}
    assert set(CATALOG) <= set(known())
    for name in known():
        assert factory(name).name == name


def test_strings_become_the_annotated_types() -> None:
    motion = factory("motion:min_area=0.01,max_side=200,mask=100x50+0+10/40x40+200+10").new()
    assert isinstance(motion, Motion)
    assert (motion.min_area, motion.max_side) == (0.01, 200)
    assert motion.mask == (Region(0, 10, 100, 50), Region(200, 10, 40, 40))
    as_json = factory("motion:mask=[[0,10,100,50]]").new()
    assert isinstance(as_json, Motion)
    assert as_json.mask == (Region(0, 10, 100, 50),)


def test_each_camera_has_an_instance_of_its_own() -> None:
    made = factory("motion")
    assert made.new() is not made.new()


def test_a_wrong_option_is_told_with_the_right_ones() -> None:
    said = refusal("motion:sens=1")
    assert said.startswith(
        "motion has no option 'sens': its options are sensitivity (number, 0 to 1, default 0.5), "
    )
    assert "mask (regions WIDTHxHEIGHT+X+Y joined by '/', default none)" in said
    assert "max_side (whole number, 32 to 4096, default 320)" in said


@pytest.mark.parametrize(
    "option", ["sensitivity=2", "sensitivity=high", "warmup=1.5", "mask=10x10", "mask=[[1,2]]"]
)
def test_a_wrong_value_is_told_with_the_right_ones(option: str) -> None:
    said = refusal(f"motion:{option}")
    assert said.startswith(f"motion: {option} is wrong (")
    assert "its options are sensitivity (number, 0 to 1, default 0.5)" in said


def test_one_that_takes_no_options() -> None:
    assert refusal("passthrough:speed=1") == "passthrough has no option 'speed': it takes no options"


def test_an_unknown_processor() -> None:
    said = refusal("montion")
    assert said.startswith("no processor 'montion': there are codes, motion, passthrough")
    assert said.endswith("or write MODULE:CLASS for your own")


def test_an_option_without_a_value() -> None:
    assert refusal("motion:sensitivity").endswith("write an option as motion:sensitivity=VALUE")


def test_somebodys_own_class_and_function(project: Path) -> None:
    (project / "own_things.py").write_text(
        "from typing import Literal\n"
        "class Blur:\n"
        "    def __init__(self, radius: int, kind: Literal['box', 'gauss'] = 'box', strong: bool = False):\n"
        "        self.all = (radius, kind, strong)\n"
        "    def __call__(self, frame):\n"
        "        return frame.annotate(all=list(self.all))\n"
        "def every(frame, n: int = 2):\n"
        "    return frame if frame.seq % n == 0 else None\n"
        "number = 3\n"
        "instance = Blur(1)\n"
        "class NotOne: pass\n"
    )
    picture = frame(np.zeros((16, 16, 3), np.uint8), seq=3)
    blurred = factory("own_things:Blur:radius=3,kind=gauss,strong=yes").new()(picture)
    assert isinstance(blurred, Frame)
    assert blurred.attributes["all"] == [3, "gauss", True]
    assert factory("own_things:every").new()(picture) is None
    assert factory("own_things:every:n=3").new()(picture) is picture

    assert refusal("own_things:Blur").startswith(
        "own_things:Blur needs the option 'radius': its options are radius ("
    )
    assert "kind (one of box gauss, default box)" in refusal("own_things:Blur:kind=x,radius=1")
    assert refusal("own_things:Smear").endswith("has no 'Smear'")
    assert "is a int: name a class or a function" in refusal("own_things:number")
    assert "is a Blur: name a class or a function" in refusal("own_things:instance")
    assert refusal("own_things:NotOne").endswith("is a class without __call__(self, frame)")


def test_a_module_that_is_not_there(project: Path) -> None:
    assert refusal("no_such_mod.at_all:X").startswith(f"no module 'no_such_mod.at_all' in {project} or among")


@pytest.mark.parametrize(
    ("source", "why", "at"),
    [
        ("x = 1\ny = 1 / 0\n", "ZeroDivisionError: division by zero", 2),
        ("def f(:\n    pass\n", "SyntaxError: ", 1),
        (
            "\n\nimport no_such_thing_at_all\n",
            "ModuleNotFoundError: No module named 'no_such_thing_at_all'",
            3,
        ),
        ("raise SystemExit('no')\n", "SystemExit: no", 1),
    ],
)
def test_a_module_that_does_not_load(project: Path, source: str, why: str, at: int) -> None:
    (project / "own_broken.py").write_text(source)
    said = refusal("own_broken:X")
    assert said.startswith(f"module 'own_broken' does not load: {why}")
    assert said.endswith(f"({project / 'own_broken.py'}:{at})")


def test_a_constructor_that_refuses_does_so_at_once(project: Path) -> None:
    (project / "own_refuses.py").write_text(
        "class Model:\n"
        "    def __init__(self, path: str = 'model.onnx'):\n"
        "        self.model = open(path)\n"
        "    def __call__(self, frame):\n"
        "        return frame\n"
    )
    said = refusal("own_refuses:Model")
    assert said.startswith("processor 'own_refuses:Model' cannot be made: FileNotFoundError: ")


def test_an_annotation_that_nobody_can_type(project: Path) -> None:
    (project / "own_odd.py").write_text(
        "class Thing: pass\n"
        "class Odd:\n"
        "    def __init__(self, thing: Thing = None): pass\n"
        "    def __call__(self, frame): return frame\n"
    )
    assert "option 'thing' is annotated" in refusal("own_odd:Odd")


def test_an_entry_point_of_an_installed_package(project: Path) -> None:
    (project / "own_plugin.py").write_text("def mirror(frame):\n    return frame\n")
    info = project / "own_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mesh.processors]\nmirror = own_plugin:mirror\n")
    sys.path.insert(0, str(project))
    assert "mirror" in known()
    picture = frame(np.zeros((16, 16, 3), np.uint8))
    assert factory("mirror").new()(picture) is picture


def test_options_can_be_described() -> None:
    assert str(describe("codes")[1]) == "every (whole number, 1 or more, default 1)"


def test_the_example_from_a_shell() -> None:
    """In a process of its own that does not have the working directory on its path, as `mesh` has not."""
    code = (
        "import sys; sys.path[:] = [p for p in sys.path if p not in ('', sys.argv[1])]\n"
        "sys.path.append(sys.argv[2])\n"
        "import nodes.process.processors.catalog as c\n"
        "sys.path.remove(sys.argv[2])\n"
        "print(c.factory('examples.custom_processor:Brighten:gain=1.3').new().gain)\n"
    )
    alias = str(ROOT) + os.sep
    command = [sys.executable, "-P", "-c", code, str(ROOT), alias]
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("1.3\n", "")


def test_the_example_brightens() -> None:
    picture = frame(np.full((48, 64, 3), 100, np.uint8))
    brighter = factory("examples.custom_processor:Brighten:gain=1.5").new()(picture)
    assert isinstance(brighter, Frame)
    assert abs(float(brighter.image.mean()) - 1.5 * float(picture.image.mean())) < 1
    assert "gain (number, above 0 to 10, default 1.2)" in refusal("examples.custom_processor:Brighten:gain=0")
