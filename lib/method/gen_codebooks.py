#!/usr/bin/env python3
"""Writes codebook.c: the code books of NF4, FP4 and the dynamic 8-bit code, with their derivations.

    python3 lib/method/gen_codebooks.py > lib/method/codebook.c

Needs only the standard library. All arithmetic is rounded to binary32 after each operation, as in the programs that
defined the formats.
"""
import struct
from fractions import Fraction


def f32(x):
    """x rounded to binary32."""
    return struct.unpack("<f", struct.pack("<f", x))[0]


def bits(x):
    return struct.unpack("<I", struct.pack("<f", x))[0]


def value(b):
    return struct.unpack("<f", struct.pack("<I", b))[0]


# NF4 (QLoRA, arXiv 2305.14314, section 3): quantiles of N(0, 1) at 8 positive and 7 negative evenly spaced probabilities
# plus an exact zero, divided by the largest. The published values are decimals rounded to binary32; these are their bits.
# tests/test_codebook.c compares them with the quantiles.
NF4 = [value(b) for b in (
    0xbf800000, 0xbf3239b1, 0xbf066b30, 0xbeca32a0, 0xbe91a24d, 0xbe3d353f, 0xbdba7871, 0x00000000,
    0x3da2faff, 0x3e24cae3, 0x3e7c04dd, 0x3ead033a, 0x3ee1a4b8, 0x3f1007ab, 0x3f3913b3, 0x3f800000)]

# FP4: sign bit, two bits of exponent, one of mantissa; magnitudes in twelfths of the largest.
FP4 = [f32(sign * m / 12) for sign in (1, -1) for m in (0, 1 / 16, 8, 12, 4, 6, 2, 3)]
FP4[8] = 0.0


def linspace(count):
    """count + 1 boundaries from 0.1 to 1: fused, the upper half counted from the end, as torch.linspace."""
    start, end = Fraction(f32(0.1)), Fraction(1)
    step = Fraction(f32(f32(1.0 - f32(0.1)) / count))
    return [f32(float(start + step * i if i < (count + 1) // 2 else end - step * (count - i)))
            for i in range(count + 1)]


def dynamic():
    """Dynamic tree code (8-bit optimizers, arXiv 2110.02861): decade i of 7 has 2^i midpoints of equal cells."""
    out = [0.0, 1.0]
    for i in range(7):
        edge = linspace(2 ** i)
        for a, b in zip(edge, edge[1:]):
            mean = f32(f32(a + b) / 2)
            out += [f32(f32(10.0 ** (i - 6)) * mean), -f32(f32(10.0 ** (i - 6)) * mean)]
    return sorted(out)


def bounds(sorted_values):
    return [f32(f32(a + b) / 2) for a, b in zip(sorted_values, sorted_values[1:])]


def first_bins(code):
    """For each i below 255 the first of 65536 bins whose grid value -1 + 2k/65535 lies above the midpoint of i, i + 1."""
    mid = [f32(0.5 * f32(a + b)) for a, b in zip(code, code[1:])]
    grid = [f32(-1.0 + f32(f32(2.0 * k) / f32(65535.0))) for k in range(65536)]
    out, k = [], 0
    for m in mid:
        while k < 65536 and not m < grid[k]:
            k += 1
        out.append(k)
    return out


def rows(items, per):
    return ",\n".join("    " + ", ".join(items[i:i + per]) for i in range(0, len(items), per))


def hexfloat(x):
    if x == 0:
        return "0.0f"
    mantissa, exponent = x.hex().split("p")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}p{int(exponent)}f"


def q4(name, values):
    rank = sorted(range(16), key=lambda c: (values[c], c))
    bound = [hexfloat(b) for b in bounds([values[c] for c in rank])] + ["INFINITY"]
    print(f"""
const struct lqi_q4_book {name} = {{
  .value = {{
{rows([hexfloat(v) for v in values], 4)},
  }},
  .bound = {{
{rows(bound, 4)},
  }},
  .code = {{{", ".join(map(str, rank))}}},
}};""")


def main():
    code = dynamic()
    print("""/*
 * codebook.c - the code books of nf4, fp4 and the dynamic 8-bit code. Written by gen_codebooks.py,
 * which holds the derivations; change that and run it again.
 *
 * Owns: each constant of a code, once.
 * Must not know: who uses it.
 */
#include "codebook.h"

#include <math.h>

/* clang-format off: tables */""")
    q4("lqi_book_nf4", NF4)
    q4("lqi_book_fp4", FP4)
    print(f"""
const struct lqi_q8_book lqi_book_dynamic = {{
  .value = {{
{rows([hexfloat(v) for v in code], 5)},
  }},
  .bound = {{
{rows([hexfloat(v) for v in bounds(code)] + ["INFINITY"], 5)},
  }},
  .bin = {{
{rows([str(k) for k in first_bins(code)] + ["UINT32_MAX"], 14)},
  }},
}};""")


main()
