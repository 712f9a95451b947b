"""Random numbers without a state: the n-th number of a stream is a function of seed, stream and n alone.

So undoing a click gives the same pair again, and a link replays a session. 32-bit integers throughout, since that is
what JavaScript multiplies exactly: web/chance.js computes the same numbers, bit for bit.
"""

from __future__ import annotations

PAIRS, SIDES, NOISE = 1, 2, 3  # the streams: which pair, which of the two is on the left, where a noisy annotator errs

_MASK = 0xFFFFFFFF
_STRIDE = 0x9E3779B9  # 2³² over the golden ratio: keeps the inputs 0, 1, 2 … apart


def mix(x: int) -> int:
    """32 bits to 32 bits, one to one; every input bit reaches every output bit (MurmurHash3's finalizer, Appleby 2011)."""
    x &= _MASK
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & _MASK
    x = ((x ^ (x >> 13)) * 0xC2B2AE35) & _MASK
    return x ^ (x >> 16)


def uniform(seed: int, stream: int, n: int) -> float:
    """The n-th number of a stream, uniform on [0, 1) in steps of 2⁻³². Seeds are taken modulo 2³²."""
    x = mix(seed + _STRIDE)
    x = mix(x + stream * _STRIDE)
    x = mix(x + n * _STRIDE)
    return x / 2**32
