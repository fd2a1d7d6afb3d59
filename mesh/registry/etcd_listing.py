"""Everything under a prefix in etcd, read in pages, as it stood at one revision.

Rules kept here: every page is of the first one's revision, so a listing is never of two moments; where etcd
has let go of that revision meanwhile, it is begun again.
"""

from dataclasses import dataclass

from mesh.errors import RegistryError
from mesh.registry.base import Entry
from mesh.registry.etcd_json import page_body, read_page
from mesh.registry.etcd_members import OUT_OF_RANGE, Members, Refused

TRIES = 5


@dataclass(frozen=True, slots=True)
class Listing:
    """The entries under a prefix, ordered by key, as they stood at `revision`."""

    revision: int
    entries: list[Entry]


def read_listing(members: Members, root: str, prefix: str) -> Listing:
    """The entries whose keys start with `prefix`, in the mesh under `root`."""
    for _ in range(TRIES):
        try:
            return _read_pages(members, root, prefix)
        except Refused as refused:
            if refused.code != OUT_OF_RANGE:
                raise
    raise RegistryError(f"etcd cannot list {prefix!r}: it is compacted faster than it can be read")


def _read_pages(members: Members, root: str, prefix: str) -> Listing:
    entries: list[Entry] = []
    revision, after, more = 0, b"", True
    while more:
        page = read_page(members.ask("kv/range", page_body(root + prefix, after, revision)).body, root)
        entries += page.entries
        revision, after, more = revision or page.revision, page.last, page.more
    return Listing(revision, entries)
