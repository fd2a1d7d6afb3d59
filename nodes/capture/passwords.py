"""Passwords of cameras, kept from registries that others could read."""

import ipaddress
import stat
from pathlib import Path
from urllib.parse import urlsplit

from mesh.errors import ConfigError
from nodes.secrets import has_secret


def check_kept(camera: str, url: str, registry_url: str) -> None:
    """Refuse to hand a password to a registry that is on another machine, or whose file others may read.

    Raises `ConfigError` that says what to do instead.
    """
    if not has_secret(url):
        return
    scheme, _, rest = registry_url.partition(":")
    if scheme == "file" and (wide := _readable_by_others(Path(rest.removeprefix("//")))):
        raise ConfigError(f"camera {camera}: others could read its password in {wide}: chmod 600 {wide}")
    if scheme in ("file", "memory") or (scheme == "tcp" and _is_here(urlsplit(registry_url).hostname)):
        return
    word = camera.upper().replace("-", "_")
    example = f"{{{word if word[0].isalpha() else f'CAMERA_{word}'}_PASSWORD}}"
    raise ConfigError(
        f"camera {camera}: its URL holds a password, and the registry {registry_url} is not on this host "
        f"alone: write {example} in its place and set that for the capture node (in its environment or its "
        "--secrets FILE), or add --insecure if the network is trusted"
    )


def _readable_by_others(path: Path) -> Path | None:
    for file in (path, path.with_name(path.name + ".live")):
        if file.exists() and stat.S_IMODE(file.stat().st_mode) & 0o077:
            return file
    return None


def _is_here(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
