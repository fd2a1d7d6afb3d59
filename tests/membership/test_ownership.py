"""Who has which partition: over a simulated group whose members see one another late, nothing is lost."""

from hypothesis import given
from hypothesis import strategies as st

from tests.membership.world import World

KEYS = ["door/0", "hall/0", "hall/1", "yard/0"]
HARMLESS = ("join", "join", "drain", "lapse", "restart_registry", "reboot", "")
FATAL = (*HARMLESS, "kill")


def lived(seed: int, happenings: list[tuple[str, int]]) -> World:
    """A world in which these things happened, each so many steps after the one before, and which settled."""
    world = World(seed, KEYS)
    world.join()
    for what, steps in happenings:
        if what:
            getattr(world, what)()
        for _ in range(steps):
            world.step()
    world.settle(16.0)
    return world


def happenings(of: tuple[str, ...]) -> st.SearchStrategy[list[tuple[str, int]]]:
    return st.lists(st.tuples(st.sampled_from(of), st.integers(0, 60)), max_size=12)


def check_settled(world: World) -> None:
    """Each partition is with one live member, the one that it is placed on; all see the same."""
    for member in world.members.values():
        owners = member.view(KEYS).owners
        for key in KEYS:
            assert world.holders(key) == [owners[key]], f"{member.name} at {world.now:.2f}"


@given(st.integers(0, 2**32), happenings(HARMLESS))
def test_joins_drains_and_views_that_differ_lose_nothing(seed: int, what: list[tuple[str, int]]) -> None:
    world = lived(seed, what)
    assert not world.lost()
    check_settled(world)


@given(st.integers(0, 2**32), happenings(FATAL))
def test_a_kill_costs_no_more_than_the_lease(seed: int, what: list[tuple[str, int]]) -> None:
    world = lived(seed, what)
    assert not world.lost()
    check_settled(world)
