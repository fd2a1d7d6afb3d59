"""Who of a group takes which partition now, as one of its members works it out: a pure state machine.

Rules kept here: a member takes what is placed on it, and says so once it has it; it lets go only of what the
one that it is placed on says to have, and that lets go after it, so that two members that see different
things both keep a partition rather than both leave it; what it lets go of it has itself up to where the other
one began. So views of the registry that differ cost overlap, never loss.

Letting go takes two steps. First the member no longer lists the key; once it sees its own record without it
in the registry, and there the other one still lists it, it leaves. The registry puts all records in one
order: of several members that want to leave, the last one to say so sees that nobody else is left, and stays.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

SILENCE_S = 2.0  # after which a partition of which nothing has come counts as taken
PATIENCE_S = 2.0  # with what should have come here, and does not
TICK_S = 0.05  # between two looks at what has come
SLOW_TICK_S = 1.0  # the same, for partitions that are silent

Key = str  # CAMERA/PARTITION
Mark = tuple[int, int, int]  # boot, run, and a number of that run
Held = Mark | tuple[()]  # where a member began; () where nothing has come yet


def key_of(camera: str, partition: int) -> Key:
    return f"{camera}/{partition}"


def parts_of(key: Key) -> tuple[str, int]:
    """A key's camera and partition."""
    camera, _, partition = key.partition("/")
    return camera, int(partition)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a member lists, as the registry has it. `version` grows with each change."""

    version: int
    holds: Mapping[Key, Held]


@dataclass(frozen=True, slots=True)
class View:
    """What a member sees of its group.

    owners:  the member that each partition is placed on; none where nobody may take it
    listed:  the members' records, its own among them; without those that a registry which has started anew
             has yet to hear again
    """

    owners: Mapping[Key, str | None]
    listed: Mapping[str, Listing]


@dataclass(frozen=True, slots=True)
class Turn:
    """What to do now.

    take, leave:  partitions
    changed:      whether there is a new listing to announce
    wait_s:       when to look again although nothing was told; None: not before something is
    """

    take: tuple[Key, ...]
    leave: tuple[Key, ...]
    changed: bool
    wait_s: float | None


@dataclass(slots=True)
class _Hold:
    """One partition that is taken."""

    since: float
    began: Held | None = None  # what is to be listed of it; None while that is not known
    told: bool = False  # it was listed: others may rely on it
    going: int = 0  # the version from which on it is not listed, because it is let go of
    stuck: tuple[Mark | None, float] | None = None  # since it is to go: where it stands, and since when
    awaited: bool = False  # the one that it is placed on has it, and waits for this one to let go


@dataclass(slots=True)
class Ownership:
    """What the member `me` has.

    version:  of its listing; it begins above those that an earlier process of that name may have left
    """

    me: str
    version: int = 1
    _holds: dict[Key, _Hold] = field(default_factory=dict)
    _listed: dict[Key, Held] = field(default_factory=dict)

    @property
    def held(self) -> frozenset[Key]:
        return frozenset(self._holds)

    @property
    def silent(self) -> list[Key]:
        """What it has and nothing has come of."""
        return [key for key, hold in self._holds.items() if hold.began == ()]

    @property
    def listing(self) -> Listing:
        """What others should know."""
        return Listing(self.version, self._listed)

    def is_handing_over(self, view: View) -> bool:
        """Whether it has something that another member is to have."""
        return any(view.owners.get(key) not in (None, self.me) for key in self._holds)

    def turn(self, view: View, reached: Callable[[Key], Mark | None], now: float) -> Turn:
        """What follows from `view`; `reached` gives the next number that is expected of a partition here."""
        take = tuple(k for k, owner in view.owners.items() if owner == self.me and k not in self._holds)
        self._holds |= {key: _Hold(now) for key in take}
        for key, hold in self._holds.items():
            if not hold.began:
                self._confirm(hold, reached(key), now)
        going = [key for key in self._holds if self._should_go(key, view, reached, now)]
        leave = tuple(key for key in going if self._is_seen_to_go(self._holds[key], view))
        leave += tuple(key for key in self._holds if key not in view.owners)
        for key in leave:
            del self._holds[key]
        changed = self._list(set(going))
        return Turn(take, leave, changed, self._wait_s())

    def _confirm(self, hold: _Hold, reached: Mark | None, now: float) -> None:
        """Note where a partition began, once that is known."""
        if reached is not None:
            hold.began = reached
        elif now - hold.since >= SILENCE_S:
            hold.began = ()

    def _should_go(self, key: Key, view: View, reached: Callable[[Key], Mark | None], now: float) -> bool:
        """Whether the partition can be left to the member that it is placed on."""
        hold, owner = self._holds[key], view.owners.get(key)
        if owner is None or owner == self.me:
            hold.stuck, hold.awaited = None, False
            return False
        mark, other = reached(key), view.listed.get(owner)
        awaited = other is not None and key in other.holds
        if hold.stuck is None or (awaited and not hold.awaited and hold.stuck[0] != mark):
            hold.stuck = mark, now
        hold.awaited = awaited
        if other is None or not awaited:
            return False
        return hold.going > 0 or not hold.told or _has_enough(hold, mark, other.holds[key], now)

    def _is_seen_to_go(self, hold: _Hold, view: View) -> bool:
        mine = view.listed.get(self.me)
        return not hold.told or (bool(hold.going) and mine is not None and mine.version >= hold.going)

    def _list(self, going: set[Key]) -> bool:
        """Bring the listing up to date; whether it changed."""
        held = self._holds.items()
        listed = {k: hold.began for k, hold in held if hold.began is not None and k not in going}
        changed = listed != self._listed
        if changed:
            self._listed = listed
            self.version += 1
        for key, hold in held:
            hold.going = (hold.going or self.version) if key in going else 0
            hold.told = hold.told or key in listed
        return changed

    def _wait_s(self) -> float | None:
        """Looking is for what nobody tells: that a first frame has come, or all that another one lacks."""
        holds = self._holds.values()
        if any(hold.began is None or (hold.awaited and not hold.going) for hold in holds):
            return TICK_S
        return SLOW_TICK_S if any(hold.began == () for hold in holds) else None


def _has_enough(hold: _Hold, reached: Mark | None, began: Held, now: float) -> bool:
    """Whether everything before the other one `began` is here, or will not come any more."""
    if reached is not None and has_passed(reached, began):
        return True
    comes = reached is None or not began or reached[0] < began[0] or reached[:2] == began[:2]
    if hold.stuck is None or (comes and hold.stuck[0] != reached):
        hold.stuck = reached, now
    return now - hold.stuck[1] >= PATIENCE_S


def has_passed(reached: Mark, began: Held) -> bool:
    """Whether who has reached that far has everything that comes before `began`."""
    if not began:
        return False
    return reached[0] > began[0] or (reached[:2] == began[:2] and reached[2] >= began[2])
