"""Print quant/iq_points.inc: which points the code books of the IQ1, IQ2 and IQ3 formats hold.

The points are a fact of the formats; they are read from the `gguf` package's tables. A point is a
row of digits, digit 0 the least significant, and every code book numbers its points in ascending
order. So a bit for every possible point says all there is to say.
"""

from __future__ import annotations

import gguf.quants
import numpy as np

BOOKS = ("IQ1_S", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S")
WORDS_A_LINE = 4


def points_of(name: str) -> tuple[np.ndarray, int]:
    """Return the points of a code book as numbers, in the order of their codes, and the radix."""
    book = getattr(gguf.quants, name)
    book.init_grid()
    levels = list(book.grid_map)
    values = book.grid.reshape(book.grid_shape).astype(int)
    digits = np.vectorize(levels.index)(values)
    radix = len(levels)
    return digits @ radix ** np.arange(digits.shape[1]), radix ** digits.shape[1]


def main() -> None:
    print("// Written by tests/oracle/iq_points.py: bit p of an array is set where point p is in the")
    print("// code book.")
    for name in BOOKS:
        points, n_possible = points_of(name)
        if (np.diff(points) <= 0).any():
            raise ValueError(f"{name}: the codes do not ascend")
        bits = np.zeros(-(-n_possible // 64) * 64, dtype=np.uint8)
        bits[points] = 1
        words = np.packbits(bits, bitorder="little").view("<u8")
        print(f"constexpr uint64_t k{name}Points[{len(words)}] = {{")
        for begin in range(0, len(words), WORDS_A_LINE):
            line = words[begin : begin + WORDS_A_LINE]
            print("    " + " ".join(f"0x{word:016x}," for word in line))
        print("};")


if __name__ == "__main__":
    main()
