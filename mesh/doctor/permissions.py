"""Whether this user may write what it has to, and nobody else reads what nobody else should. Pure.

Rules kept here: what is judged are a program's own folders and files on this machine; others judge theirs by
running `mesh doctor` there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.doctor.disk import SHARED, Local
from mesh.doctor.findings import Finding, failed, ok, warning
from mesh.errors import ConfigError

CHECK = "permissions"
OTHERS = 0o077
SECRETS = "secrets"
REGISTRY = "registry"
STATE = "registry state"


@dataclass(frozen=True, slots=True)
class OwnFile:
    """A file of this machine as it was found; `what` it is for. `trouble` says why it cannot be looked at;
    `wrong` what is wrong with what is in it."""

    what: str
    path: str
    regular: bool = True
    mode: int = 0
    readable: bool = True
    writable: bool = True
    trouble: str = ""
    wrong: str = ""

    @classmethod
    def of(
        cls,
        what: str,
        path: str,
        found: Mapping[str, Any] | None,
        timeout: float,
        read: Callable[[Path], object] | None = None,
    ) -> "OwnFile":
        """From what `mesh.doctor.probe` found; None: it did not come in time. `read` reads what is in it, and
        raises `ConfigError`; only a regular file is read, as another could have it wait."""
        if found is None:
            return cls(what, path, trouble=f"it does not answer within {timeout:g} s")
        if "error" in found:
            return cls(what, path, trouble=str(found["error"]).lower())
        wrong = _wrong(Path(path), read) if read is not None and found["regular"] else ""
        return cls(what, path, **found, wrong=wrong)


def _wrong(path: Path, read: Callable[[Path], object]) -> str:
    try:
        read(path)
    except ConfigError as error:
        return str(error)
    return ""


def judge(folders: Iterable[Local], files: Iterable[OwnFile], holds_secrets: bool) -> Iterator[Finding]:
    """`holds_secrets`: whether the registry's files hold passwords."""
    for folder in folders:
        if folder.path != SHARED and not folder.trouble:  # which the check of the disk tells
            yield judge_folder(folder)
    for file in files:
        if file.what == SECRETS:
            yield judge_secrets(file)
        elif file.what == STATE:
            yield judge_state(file)
        else:
            yield judge_registry_file(file, holds_secrets)


def judge_folder(folder: Local) -> Finding:
    subject = f"{folder.what}: {folder.path}"
    if not folder.writable:
        what = "it" if folder.exists else f"it is not there, and {folder.there}"
        return failed(
            CHECK,
            subject,
            f"{what} cannot be written by this user",
            f"give it to whom the nodes run as (chown -R USER {folder.there}), or name another; a disk "
            f"that is read-only: findmnt -T {folder.there}",
        )
    return ok(CHECK, subject, "can be written" if folder.exists else "is not there yet, and can be made")


def judge_secrets(file: OwnFile) -> Finding:
    subject = f"{SECRETS}: {file.path}"
    if file.trouble or not file.regular:
        found = file.trouble or "it is no regular file"
        return failed(CHECK, subject, found, "give the path of the file that --secrets of the node names")
    if file.mode & OTHERS:
        found = f"others can read the cameras' passwords in it (mode {file.mode:o})"
        return failed(CHECK, subject, found, f"chmod 600 {file.path}")
    if file.wrong:
        return failed(CHECK, subject, file.wrong, f"correct {file.path}: a NAME=value line for each secret")
    return ok(CHECK, subject, "only its owner can read it, and it reads well")


def judge_state(file: OwnFile) -> Finding:
    """What a registry's server keeps here, perhaps as another user: that this one may not look is well."""
    subject = f"{STATE}: {file.path}"
    if file.mode & OTHERS and not file.trouble:
        found = f"others can read what is configured, passwords too (mode {file.mode:o})"
        return warning(CHECK, subject, found, f"chmod 600 {file.path}*")
    return ok(CHECK, subject, "only its owner can read it")


def judge_registry_file(file: OwnFile, holds_secrets: bool) -> Finding:
    subject = f"{REGISTRY}: {file.path}"
    if file.trouble:
        return failed(CHECK, subject, file.trouble, f"see who owns it: ls -l {file.path}")
    if not (file.readable and file.writable):
        return failed(
            CHECK,
            subject,
            "this user cannot read and write it",
            f"give it to whom the nodes run as: chown USER {file.path}",
        )
    if file.mode & OTHERS and holds_secrets:
        return warning(
            CHECK,
            subject,
            f"others can read the cameras' passwords in it (mode {file.mode:o})",
            f"chmod 600 {file.path}",
        )
    return ok(
        CHECK, subject, "can be read and written" + ("" if file.mode & OTHERS else " by its owner only")
    )
