"""Throws garbage at the wire's parsers until the time is over: `make fuzz FUZZ_ARGS="--seconds 60"`.

It mutates the golden vectors, whole and byte by byte. Anything but a message or a `WireError` ends it with
the parts that did it, as hex, ready to become a vector. The suite runs a short round of it.
"""

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from mesh import wire
from mesh.errors import WireError

VECTORS = Path(__file__).parent.parent / "vectors"
INTERESTING = (
    b"\x00",
    b"\xff",
    b"\xc1",
    b"\x81",
    b"\xdf\xff\xff\xff\xff",
    b"\xcf" + b"\xff" * 8,
    b"\xc7\x04\x05",
    b"\xd6\xff\x00\x00\x00\x01",
    b"\xcb\x7f\xf8" + bytes(6),
    b"\xcf\x40" + bytes(7),
    b"\x91" * 64,
)
PARSERS: tuple[Callable[[bytes], object], ...] = (
    wire.decode_envelope,
    wire.decode_request,
    lambda part: wire.decode_reply([part]),
    lambda part: wire.decode_reply([part, part]),
    lambda part: wire.decode_ack([b"ack/worker/", part]),
    lambda part: wire.decode_credit(b"\x02" + part),
    lambda part: wire.decode_release(b"\x03" + part),
)


def corpus() -> list[list[bytes]]:
    """The parts of every golden vector."""
    files = sorted(VECTORS.glob("*.json"))
    return [[bytes.fromhex(part) for part in json.loads(file.read_text())["parts"]] for file in files]


def mutated(part: bytes, rng: random.Random) -> bytes:
    """A part with up to eight small changes."""
    data = bytearray(part)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                del data[at : at + rng.randint(1, 8)]
            case 2:
                data[at:at] = rng.choice(INTERESTING)
            case 3:
                data[at:at] = data[: rng.randint(0, 16)]
            case _:
                data[at : at + 4] = rng.randbytes(4)
    return bytes(data)


def attempt(parts: list[bytes]) -> str:
    """What the parsers make of the parts: the outcome's name. Raises whatever they should not."""
    try:
        message = wire.decode(parts)
    except WireError:
        outcome = "refused"
    else:
        wire.encode(message)
        outcome = "taken"
    for part in parts:
        for parse in PARSERS:
            try:
                parse(part)
            except WireError:
                continue
    return outcome


def fuzz(rounds: int, seed: int, seconds: float = float("inf")) -> Counter[str]:
    """Run `rounds` attempts, or as many as fit into `seconds`; how often which outcome came."""
    rng, seeds, until = random.Random(seed), corpus(), time.monotonic() + seconds
    outcomes: Counter[str] = Counter()
    for _ in range(rounds):
        if time.monotonic() > until:
            break
        parts = list(rng.choice(seeds))
        for index in rng.sample(range(len(parts)), rng.randint(1, len(parts))):
            parts[index] = mutated(parts[index], rng)
        if rng.random() < 0.05:
            parts = rng.choices(parts, k=rng.randint(0, 5))
        try:
            outcomes[attempt(parts)] += 1
        except Exception as error:
            raise AssertionError(f"parts {[part.hex() for part in parts]}") from error
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.randrange(2**32)
    outcomes = fuzz(2**62, seed, arguments.seconds)
    print(f"seed {seed}: {dict(outcomes)}")  # noqa: T201 - a command's answer


if __name__ == "__main__":
    main()
