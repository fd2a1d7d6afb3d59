"""A video file: any container that FFmpeg opens, by path or as file:///path.

Rules kept here: a file is not live, the capture node paces it; what is not there, or is no video, is refused.
"""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from mesh.errors import ConfigError, SourceRefused
from nodes.capture.sources.base import SourceOptions
from nodes.capture.sources.container import ContainerSource, Target
from nodes.capture.sources.failures import Origin
from nodes.capture.sources.urls import scheme_of


def parse(url: str) -> Path:
    """The path that `url` names. Raises `ConfigError`."""
    text = _path_of(url) if url.lower().startswith("file:") else url
    if not text or "\0" in text:
        raise ConfigError(f"{url!r} names no file; give a path, or file:///absolute/path")
    return Path(text)


def seek(url: str, folder: Path = Path()) -> Path:
    """The file that `url` names, from `folder` on. Raises `SourceRefused` where it is missing."""
    path = folder / parse(url)
    if path.is_dir():
        raise SourceRefused(f"{path} is a directory; for the pictures in it use images:{path}")
    if not path.exists():
        raise SourceRefused(f"{path}: no such file")
    return path


def open_file(url: str, options: SourceOptions) -> ContainerSource:
    """The video at `url`. Raises `SourceRefused` where it is missing or no video."""
    path = seek(url)
    # "file:" and an absolute path: FFmpeg takes a name with a colon for a protocol.
    return ContainerSource(Target(f"file:{path.absolute()}", Origin(str(path))), options)


def _path_of(url: str) -> str:
    parts = urlsplit(url)
    if scheme_of(url) == "file" and parts.netloc not in ("", "localhost"):
        raise ConfigError(f"{url}: a file is on this machine; write file:///{parts.netloc}{parts.path}")
    return unquote(parts.path)
