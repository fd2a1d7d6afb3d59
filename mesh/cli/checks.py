"""What those who capture, process and collect say of a site's file, and of this machine."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from mesh.registry.setups import CameraSetup
from mesh.site.sections import ProcessSection
from mesh.site.trial import Trial

TRIAL = "nodes.process.processors.trial"
LOADED_WITHIN_S = 10.0  # what takes longer to load is not known to be wrong


class NodeChecks:
    """What they say of a site's file, wherever it is to run."""

    def camera(self, setup: CameraSetup) -> None:
        from nodes.capture.setup import check_setup

        check_setup(setup)

    def password(self, setup: CameraSetup, registry_url: str) -> None:
        from nodes.capture.passwords import check_kept

        check_kept(setup.name, setup.url, registry_url)

    def processor(self, text: str) -> None:
        from nodes.process.processors.catalog import CATALOG, factory, parse_spec

        spec = parse_spec(text)
        # Those of others are there where they run, perhaps not here; a slip of the pen is neither.
        if spec.name in CATALOG or get_close_matches(spec.name, CATALOG, 1):
            factory(text)

    def stage(self, process: ProcessSection) -> str:
        from nodes.process.node import ProcessConfig, stage_name
        from nodes.process.processors.catalog import parse_spec

        config = ProcessConfig(tuple(process.processors), input=process.input, stage=process.stage)
        return stage_name(config, [parse_spec(text).name for text in process.processors])

    def address(self, address: str) -> None:
        from nodes.address import check_bind

        check_bind(address, insecure=False)

    def advertise(self, host: str) -> None:
        from nodes.address import check_advertise

        check_advertise(host)

    def metrics(self, listen: str) -> None:
        from nodes.address import metrics_address

        metrics_address(listen, insecure=True)

    def destinations(self, urls: Sequence[str]) -> None:
        from nodes.collect.forwarding.destinations import check_destinations

        check_destinations(urls)


class LocalChecks:
    """What they say of this machine. `within_s` is how long processors may take to be loaded."""

    def __init__(self, within_s: float = LOADED_WITHIN_S) -> None:
        self._trial = Trial(TRIAL, within_s)

    def secrets(self, file: Path | None) -> Mapping[str, str]:
        from nodes.secrets import Secrets

        return Secrets(file).read()

    def camera(self, setup: CameraSetup, secrets: Mapping[str, str], folder: Path) -> None:
        from nodes.capture.setup import check_here

        check_here(setup, secrets, folder)

    def processors(self, texts: Sequence[str], folder: Path) -> Sequence[str]:
        from nodes.process.processors.catalog import CATALOG, parse_spec

        others = [text for text in dict.fromkeys(texts) if parse_spec(text).name not in CATALOG]
        if not others:
            return [""] * len(texts)
        found = dict(zip(others, self._trial.ask(others, folder), strict=True))
        return [found.get(text, "") for text in texts]

    def destination(self, url: str, secrets: Mapping[str, str]) -> None:
        from nodes.secrets import fill

        fill(url, secrets)

    def folder(self, into: Path) -> None:
        from nodes.collect.beginning import check_folder

        check_folder(into)

    def stop(self) -> None:
        self._trial.stop()
