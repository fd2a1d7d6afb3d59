"""The numbers that keys draw at members: the less, the more the two belong together. Pure.

A draw is exponentially distributed with the member's weight as its rate, so that the least of several draws
is a member's with a probability in proportion to its weight (weighted rendezvous: Thaler and Ravishankar,
"Using name-based mappings to increase hit rates", 1998, with the weights of Schindelhauer and Schomaker,
"Weighted distributed hash tables", 2005).

Rules kept here: a draw depends on the key, the member and its weight alone, and on no other member, so that
whoever joins or leaves moves only what it wins or loses; whole numbers throughout, so that every machine,
with whatever mathematical library, comes to the same.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Draws = npt.NDArray[np.int64]

BITS = 53  # of a uniform number
FRACTION = 32  # bits behind the point of a logarithm
TABLE_BITS = 8
WEIGHT_ONE = 1024
WEIGHT_BITS = 20


def whole_weight(weight: float) -> int:
    """A weight as a whole number of 1024ths; never nothing."""
    return min(max(1, round(weight * WEIGHT_ONE)), 1 << WEIGHT_BITS)


def draws(keys: Sequence[str], members: Sequence[str], whole_weights: Sequence[int]) -> Draws:
    """(keys, members) int64, each at least 0 and below 2^59."""
    uniform = _mixed(_hashes(keys)[:, None] ^ _mixed(_hashes(members))[None, :]) >> np.uint64(64 - BITS)
    rates = np.asarray(whole_weights, dtype=np.int64)
    return (_minus_log2(uniform.astype(np.int64) | 1) << WEIGHT_BITS) // rates[None, :]


def _hashes(names: Sequence[str]) -> npt.NDArray[np.uint64]:
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def _mixed(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
    2014): every bit depends on every other."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _minus_log2(numbers: Draws) -> Draws:
    """BITS less the binary logarithm of numbers from 1 to 2^BITS - 1, with FRACTION bits behind the point:
    by a table, and straight between its entries."""
    _, exponents = np.frexp(numbers.astype(np.float64))  # exact: the numbers fit into a double
    exponents = exponents.astype(np.int64)
    mantissas = numbers << (BITS - exponents)  # the highest bit is at BITS - 1
    behind = mantissas - (1 << (BITS - 1))
    index = behind >> (BITS - 1 - TABLE_BITS)
    rest = (behind & ((1 << (BITS - 1 - TABLE_BITS)) - 1)) >> (BITS - 1 - TABLE_BITS - FRACTION // 2)
    low, high = _TABLE[index], _TABLE[index + 1]
    logarithms: Draws = low + (((high - low) * rest) >> (FRACTION // 2))
    return ((BITS + 1 - exponents) << FRACTION) - logarithms


def _log2_of(numerator: int, denominator: int) -> int:
    """The binary logarithm of a fraction from 1 to 2, with FRACTION bits behind the point, bit by bit: the
    square of a number has twice its logarithm."""
    bits, value = 0, (numerator << 64) // denominator
    for _ in range(FRACTION):
        value = value * value >> 64
        bits <<= 1
        if value >> 65:
            bits |= 1
            value >>= 1
    return bits


_TABLE = np.array(
    [_log2_of((1 << TABLE_BITS) + n, 1 << TABLE_BITS) for n in range(1 << TABLE_BITS)] + [1 << FRACTION],
    dtype=np.int64,
)
