from tests.fuzz.fuzz_wire import fuzz


def test_a_short_round_of_the_fuzzer_finds_nothing_and_reaches_both_outcomes() -> None:
    outcomes = fuzz(rounds=20_000, seed=1)
    assert sum(outcomes.values()) == 20_000
    assert outcomes["refused"] > 1000
    assert outcomes["taken"] > 100
