"""What one watch has given to its reader, and what it owes it.

Rules kept here: events come in the order of their revisions; a watch that has lost changes is given the
difference between what it gave and what stands now, then `Synced`, and so ends where the store is. A store
that has started anew has forgotten what was leased, but not its configuration.
"""

from collections.abc import Iterable

from mesh.registry.base import Change, Delete, Entry, Event, Put, Synced


class View:
    """The entries under `prefix` as the reader of one watch knows them."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._given: dict[str, Entry] = {}

    def __repr__(self) -> str:
        return f"<View {self.prefix!r} entries={len(self._given)}>"

    def matches(self, change: Change) -> bool:
        return key_of(change).startswith(self.prefix)

    def gave(self, event: Event) -> None:
        """Note that the reader has been given `event`."""
        if isinstance(event, Put):
            self._given[event.entry.key] = event.entry
        elif isinstance(event, Delete):
            self._given.pop(event.key, None)

    def difference(self, revision: int, entries: Iterable[Entry], *, anew: bool = False) -> list[Event]:
        """The events that lead from what was given to `entries`, the store as it stood at `revision`.

        anew: whether the store has started anew since, so that what was leased may only be forgotten
        """
        stand = {entry.key: entry for entry in entries if entry.key.startswith(self.prefix)}
        changed = [entry for key, entry in stand.items() if self._given.get(key) != entry]
        puts = [Put(entry) for entry in sorted(changed, key=lambda entry: entry.revision)]
        gone = [entry for key, entry in self._given.items() if key not in stand]
        deletes = [Delete(entry.key, revision, known=not (anew and entry.lease)) for entry in gone]
        return [*puts, *deletes, Synced(revision)]


def key_of(change: Change) -> str:
    return change.entry.key if isinstance(change, Put) else change.key


def revision_of(change: Change) -> int:
    return change.entry.revision if isinstance(change, Put) else change.revision
