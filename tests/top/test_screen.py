"""The screen, as textual draws it, without a terminal."""

import asyncio
from collections.abc import Sequence

import pytest
from textual.events import Key
from textual.pilot import Pilot

from mesh.top.look import Look
from mesh.top.rates import History, advanced
from mesh.top.rows import Board, board
from mesh.top.screen.app import HelpScreen, Top
from mesh.top.screen.table import REBUILD, BoardTable
from mesh.top.watching import Failed
from tests.support.waiting import PATIENCE_S
from tests.top.world import camera, captured, look, node, report

MANY = 3 * REBUILD
NAMES = {"?": "question_mark", "/": "slash"}


def many(turn: int, cameras: Sequence[int] = range(MANY)) -> Board:
    """Cameras whose rates are in another order at each turn."""
    names = {f"c{n:03}": (n * (turn + 1)) % MANY for n in cameras}

    def at(second: int) -> Look:
        counts = [captured(name, rate * second) for name, rate in names.items()]
        found = [camera(name) for name in names]
        return look(second, [node("cam", "capture")], found, [report("cam", second, *counts)])

    history: History = {}
    for each in (at(1), at(2)):
        history = advanced(history, each.reports, each.at)
    return board(each, history)


def table_of(top: Top, name: str = "cameras") -> BoardTable:
    return top.query_one(f"#{name}", BoardTable)


def rows(table: BoardTable) -> list[str]:
    return [str(row.key.value) for row in table.ordered_rows]


def chosen(table: BoardTable) -> str:
    return str(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value)


async def show(top: Top, pilot: Pilot[int], seen: Board | Failed) -> None:
    top.see(seen)
    await pilot.pause()


async def closed(top: Top, pilot: Pilot[int]) -> None:
    """Wait until the help is not there any more."""
    async with asyncio.timeout(PATIENCE_S):
        while isinstance(top.screen, HelpScreen):
            await pilot.pause()


def test_the_chosen_row_stays_chosen_and_in_order_whatever_changes() -> None:
    async def drive() -> None:
        top = Top("url", sort="in")
        async with top.run_test(size=(100, 30)) as pilot:
            await show(top, pilot, many(0))
            table = table_of(top)
            await pilot.press("2", *["down"] * 7)
            assert (chosen(table), rows(table)) == ("c007", [f"c{n:03}" for n in range(MANY)])
            await show(top, pilot, many(6))
            assert chosen(table) == "c007"
            rates = [float(str(table.get_cell(key, "in"))) for key in rows(table)]
            assert rates == sorted(rates)
            await pilot.press("r")
            assert chosen(table) == "c007"
            assert [float(str(table.get_cell(key, "in"))) for key in rows(table)] == sorted(rates)[::-1]
            await show(top, pilot, many(6, range(5, MANY)))
            assert (chosen(table), table.row_count) == ("c007", MANY - 5)
            await show(top, pilot, many(6, range(8)))  # so many go at once that it is filled anew
            assert (chosen(table), sorted(rows(table))) == ("c007", [f"c{n:03}" for n in range(8)])

    asyncio.run(drive())


@pytest.mark.parametrize(("width", "columns"), [(80, 7), (110, 9), (160, 13)])
def test_columns_follow_the_width(width: int, columns: int) -> None:
    async def drive() -> None:
        top = Top("url")
        async with top.run_test(size=(80, 24)) as pilot:
            await show(top, pilot, many(0))
            await pilot.resize_terminal(width, 24)
            await pilot.pause()
            assert len(table_of(top).columns) == columns

    asyncio.run(drive())


def test_a_click_on_a_title_sorts_and_another_one_turns_it_round() -> None:
    async def drive() -> None:
        top = Top("url")
        async with top.run_test(size=(100, 30)) as pilot:
            await show(top, pilot, many(0))
            table = table_of(top)
            for backwards in (False, True):
                await pilot.click(table, offset=(2, 1))
                await pilot.pause()
                assert (table.by, table.backwards) == ("camera", backwards)
            assert rows(table)[0] == f"c{MANY - 1:03}"

    asyncio.run(drive())


def test_a_frozen_picture_stays_and_goes_on_with_the_newest() -> None:
    async def drive() -> None:
        top = Top("url")
        async with top.run_test(size=(100, 30)) as pilot:
            await show(top, pilot, many(0, range(3)))
            await pilot.press("p")
            await show(top, pilot, many(0, range(5)))
            assert table_of(top).row_count == 3
            await pilot.press("p")
            assert table_of(top).row_count == 5

    asyncio.run(drive())


def test_a_filter_may_hold_any_key_and_brackets_are_no_markup() -> None:
    async def drive() -> None:
        top = Top("url")
        async with top.run_test(size=(100, 30)) as pilot:
            await show(top, pilot, many(0, range(3)))
            await show(top, pilot, Failed("[b]away[/b]"))
            await pilot.press("slash", "q", "s", "1", "left_square_bracket", "b")
            assert top.is_running
            assert table_of(top).row_count == 0
            await pilot.press("enter", "q")
        assert top.return_value == 0

    asyncio.run(drive())


@pytest.mark.parametrize("keys", ["?qq", "?//", "?p1q", "??q?"])
def test_keys_that_come_at_once_close_the_help_once(keys: str) -> None:
    async def drive() -> None:
        top = Top("url")
        async with top.run_test(size=(100, 30)) as pilot:
            for key in keys:
                top.post_message(Key(NAMES.get(key, key), key))  # the next before the one is dealt with
            await show(top, pilot, many(0, range(3)))
            await closed(top, pilot)
            assert table_of(top).row_count == 3
            await pilot.press("q")
        assert top.return_value == 0

    asyncio.run(drive())


def test_what_is_seen_behind_the_help_is_there_when_it_closes() -> None:
    async def drive() -> None:
        top = Top("url")
        async with top.run_test(size=(100, 30)) as pilot:
            await pilot.press("question_mark")
            await show(top, pilot, many(0, range(3)))
            await pilot.resize_terminal(90, 24)
            await show(top, pilot, Failed("away"))
            await pilot.press("slash")
            await closed(top, pilot)
            assert (table_of(top).row_count, top.query_one("#filter").display) == (3, False)

    asyncio.run(drive())
