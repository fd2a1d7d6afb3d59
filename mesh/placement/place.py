"""Giving items to members: weighted rendezvous hashing with bounded loads. Pure.

An item wants the member at which it drew least (see `draws`), and a member that has more than its bound lets
go of what drew most there, which goes on to its next choice (Gale and Shapley, "College admissions and the
stability of marriage", 1962). Items and members judge by the same numbers, so there is one outcome, whatever
the order in which it is worked out. The bound is that of Mirrokni, Thorup and Zadimoghaddam, "Consistent
hashing with bounded loads", 2018: a little more than a member's share.

Rules kept here: the same answer for every order of the arguments; nobody has more than the bound but by pins;
an item that somebody may have is placed; what is pinned to a member goes there and counts as its load; items
that are to be spread share a bound of their own.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mesh.placement.draws import draws, whole_weight

SLACK = 0.1  # a member may have so much more than its share; more is less movement, and less balance


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who takes items, in proportion to its weight."""

    id: str
    weight: float = 1.0
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Item:
    """What is to be placed.

    node, label:  whom it is pinned to: a member, or those with a label "name=value"
    spread:       items of the same name go to as many members as they can: the partitions of a camera
    """

    key: str
    node: str = ""
    label: str = ""
    spread: str = ""


def place(items: Iterable[Item], members: Iterable[Member], *, slack: float = SLACK) -> dict[str, str]:
    """Each item's member, by key; an item that nobody may have is absent."""
    placing = _Placing(sorted(members, key=lambda member: member.id), list(items), slack)
    for label, class_ in placing.classes():
        placing.settle(label, class_)
    return placing.found


class _Placing:
    """One computation. Items that fewer members may have go first."""

    def __init__(self, members: Sequence[Member], items: Sequence[Item], slack: float) -> None:
        self._members = members
        self._weights = {member.id: whole_weight(member.weight) for member in members}
        self._items = items
        self._slack = slack
        self._loads: Counter[str] = Counter()
        self._spread: dict[str, Counter[str]] = defaultdict(Counter)  # how many of a spread each member has
        self.found: dict[str, str] = {}

    def classes(self) -> list[tuple[str, list[Item]]]:
        """The items by whom they may go to: those with a label, rarest first, then all others. What is pinned
        to one member is placed here."""
        by_label: dict[str, list[Item]] = defaultdict(list)
        for item in self._items:
            if item.node:
                if item.node in self._weights:
                    self._give(item, item.node)
            else:
                by_label[item.label].append(item)
        return sorted(by_label.items(), key=lambda class_: (len(self._eligible(class_[0])), class_[0]))

    def settle(self, label: str, items: Sequence[Item]) -> None:
        """Place the items of one class."""
        eligible = self._eligible(label)
        if not eligible:
            return
        bounds = self._bounds(eligible, len(items))
        rooms = {member: max(0, bounds[member] - self._loads[member]) for member in eligible}
        matching = _Matching(items, eligible, self._weights, rooms, self._quotas(items, eligible))
        for item, member in matching.outcome():
            self._give(item, member)

    def _give(self, item: Item, member: str) -> None:
        self.found[item.key] = member
        self._loads[member] += 1

    def _eligible(self, label: str) -> list[str]:
        if not label:
            return [member.id for member in self._members]
        name, _, value = label.partition("=")
        return [member.id for member in self._members if member.labels.get(name) == value]

    def _bounds(self, eligible: Sequence[str], items: int) -> dict[str, int]:
        """How much each may have in all: its share of everything and the slack; more where pins leave too
        little room for the items of this class."""
        every = sum(self._weights.values())
        bounds = {m: self._bound(len(self._items), self._weights[m], every) for m in eligible}
        weight = sum(self._weights[m] for m in eligible)
        low, high = 0, items + sum(self._loads[m] for m in eligible)

        def raised(level: int) -> dict[str, int]:
            return {m: max(bounds[m], -(-level * self._weights[m] // weight)) for m in eligible}

        def fits(level: int) -> bool:
            return sum(max(0, bound - self._loads[m]) for m, bound in raised(level).items()) >= items

        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if fits(middle) else (middle + 1, high)
        return raised(low)

    def _bound(self, items: int, weight: int, every: int) -> int:
        share = items * weight
        return max(-(-share // every), int((1 + self._slack) * share / every))

    def _quotas(self, items: Sequence[Item], eligible: Sequence[str]) -> dict[tuple[str, str], int]:
        """How many of a spread each may have, by (spread, member)."""
        sizes = Counter(item.spread for item in items if item.spread)
        weight = sum(self._weights[m] for m in eligible)
        return {
            (spread, m): -(-size * self._weights[m] // weight)
            for spread, size in sizes.items()
            if size > 1
            for m in eligible
        }


class _Matching:
    """Items and members of one class, until nobody is left who would rather be elsewhere and could.

    rooms:   how many items each member may still take
    quotas:  how many of a spread, by (spread, member)
    """

    def __init__(
        self,
        items: Sequence[Item],
        members: Sequence[str],
        whole_weights: Mapping[str, int],
        rooms: Mapping[str, int],
        quotas: Mapping[tuple[str, str], int],
    ) -> None:
        self._items, self._members = sorted(items, key=lambda item: item.key), members
        self._draws = draws([i.key for i in self._items], members, [whole_weights[m] for m in members])
        self._choices = np.argsort(self._draws, axis=1, kind="stable")
        self._rooms, self._quotas = dict(rooms), dict(quotas)
        self._next = [0] * len(self._items)  # how many choices of each item are spent
        # What a member has, what drew most there first; what it let go of is passed over.
        self._held: dict[str, list[tuple[int, int]]] = {member: [] for member in members}
        self._alike: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        self._at: dict[int, str] = {}
        self._count: Counter[str] = Counter()
        self._spread: Counter[tuple[str, str]] = Counter()

    def outcome(self) -> list[tuple[Item, str]]:
        left = self._match(range(len(self._items)))
        if left:  # a spread that its bound and all others' leave no room for: it goes where there is any
            self._quotas.clear()
            for index in left:
                self._next[index] = 0
            self._match(left)
        return [(self._items[index], member) for index, member in self._at.items()]

    def _match(self, indices: Iterable[int]) -> list[int]:
        """Place these, moving others where they have to; those for which there was no room."""
        homeless, left = list(indices), []
        while homeless:
            index = homeless.pop()
            if self._next[index] == len(self._members):
                left.append(index)
                continue
            column = int(self._choices[index, self._next[index]])
            self._next[index] += 1
            if (out := self._take(index, column)) is not None:
                homeless.append(out)
        return sorted(left)

    def _take(self, index: int, column: int) -> int | None:
        """Have a member take an item; the one that it lets go of for it."""
        member, spread = self._members[column], self._items[index].spread
        entry = (-int(self._draws[index, column]), -index)
        heapq.heappush(self._held[member], entry)
        self._at[index] = member
        self._count[member] += 1
        quota = self._quotas.get((spread, member))
        if quota is not None:
            heapq.heappush(self._alike[spread, member], entry)
            self._spread[spread, member] += 1
            if self._spread[spread, member] > quota:
                return self._let_go(self._alike[spread, member], member)
        if self._count[member] > self._rooms[member]:
            return self._let_go(self._held[member], member)
        return None

    def _let_go(self, entries: list[tuple[int, int]], member: str) -> int:
        """The one that drew most of what a member has."""
        while True:
            index = -heapq.heappop(entries)[1]
            if self._at.get(index) == member:
                break
        del self._at[index]
        self._count[member] -= 1
        self._spread[self._items[index].spread, member] -= 1
        return index
