"""The two-dimensional problems that NATTEN's own tests list (SHI-Labs/NATTEN, tests/, version 0.21.6 and after).

They are facts: sizes of grids and of windows. The lists of its tests of kernels (fna, hopper_fna, blackwell_fna, flex,
torch_compile) hold 190 entries. Many differ in batch, heads, head_dim or the kernel tested alone: there are 65 grids
with windows, 39 of them without stride, and 82 when heads count too. Its tests of token_permute lay out tiles and have
no window; its random sweeps have no list.
"""

from typing import NamedTuple

Pair = tuple[int, int]


class Problem(NamedTuple):
    """A grid and a window, each (height, width), and the (heads of q, heads of k and v) that NATTEN lists for it."""

    size: Pair
    kernel: Pair
    stride: Pair
    dilation: Pair
    heads: tuple[Pair, ...] = ((1, 1),)

    @property
    def logits(self) -> int:
        """Pairs of a query and a key that it sees, for one head."""
        return self.size[0] * self.size[1] * self.kernel[0] * self.kernel[1]


PROBLEMS = (
    Problem((5, 25), (5, 16), (1, 16), (1, 1), ((2, 1), (2, 2), (3, 1), (4, 1), (4, 2), (4, 4), (6, 2))),
    Problem((5, 25), (5, 16), (4, 16), (1, 1), ((2, 1), (2, 2))),
    Problem((8, 8), (8, 8), (1, 1), (1, 1)),
    Problem((14, 14), (4, 4), (2, 3), (2, 2), ((4, 4),)),
    Problem((14, 14), (14, 14), (1, 1), (1, 1), ((4, 4),)),
    Problem((16, 16), (3, 3), (1, 1), (1, 1)),
    Problem((16, 16), (3, 3), (2, 2), (1, 1)),
    Problem((16, 16), (4, 4), (2, 3), (1, 1)),
    Problem((16, 16), (14, 14), (1, 1), (1, 1)),
    Problem((16, 16), (15, 15), (1, 1), (1, 1)),
    Problem((16, 16), (16, 16), (1, 1), (1, 1)),
    Problem((16, 16), (16, 16), (4, 5), (1, 1)),
    Problem((16, 16), (16, 16), (4, 8), (1, 1)),
    Problem((16, 24), (4, 6), (2, 1), (1, 1), ((4, 4),)),
    Problem((17, 16), (3, 8), (1, 2), (1, 1), ((12, 4), (12, 6), (12, 12))),
    Problem((17, 48), (16, 24), (1, 1), (1, 2)),
    Problem((19, 27), (4, 2), (2, 1), (2, 7), ((4, 4),)),
    Problem((19, 29), (8, 8), (1, 1), (2, 3)),
    Problem((28, 40), (17, 31), (1, 1), (1, 1)),
    Problem((28, 40), (28, 40), (1, 1), (1, 1)),
    Problem((28, 46), (11, 13), (1, 1), (1, 1), ((3, 3),)),
    Problem((32, 16), (3, 3), (1, 1), (1, 1), ((2, 1),)),
    Problem((32, 32), (31, 31), (15, 15), (1, 1), ((3, 1), (3, 3))),
    Problem((32, 64), (25, 31), (10, 20), (1, 2), ((2, 1), (2, 2))),
    Problem((32, 64), (26, 30), (1, 1), (1, 2), ((2, 1), (2, 2))),
    Problem((33, 33), (24, 16), (1, 1), (1, 1)),
    Problem((36, 40), (36, 40), (1, 1), (1, 1)),
    Problem((36, 40), (36, 40), (12, 13), (1, 1)),
    Problem((40, 20), (3, 7), (1, 1), (1, 1)),
    Problem((44, 80), (9, 10), (1, 1), (1, 1)),
    Problem((44, 80), (24, 16), (1, 1), (1, 1)),
    Problem((44, 80), (24, 16), (8, 16), (1, 1)),
    Problem((44, 80), (24, 24), (1, 1), (1, 1)),
    Problem((44, 80), (24, 24), (8, 16), (1, 1)),
    Problem((44, 80), (32, 32), (22, 16), (1, 1)),
    Problem((44, 80), (44, 80), (1, 1), (1, 1)),
    Problem((44, 80), (44, 80), (4, 8), (1, 1)),
    Problem((48, 17), (24, 16), (1, 1), (1, 1)),
    Problem((48, 17), (24, 16), (1, 1), (2, 1)),
    Problem((48, 48), (24, 24), (1, 1), (1, 2)),
    Problem((48, 48), (24, 24), (1, 1), (2, 2)),
    Problem((48, 80), (24, 24), (8, 8), (1, 1)),
    Problem((56, 56), (7, 7), (1, 1), (2, 4), ((3, 1), (3, 3))),
    Problem((56, 56), (17, 4), (2, 1), (1, 2)),
    Problem((56, 56), (17, 4), (2, 1), (3, 2)),
    Problem((64, 64), (32, 32), (1, 1), (1, 2)),
    Problem((64, 64), (32, 32), (1, 1), (2, 2)),
    Problem((64, 128), (21, 29), (10, 12), (3, 4), ((4, 1), (4, 2), (4, 4))),
    Problem((64, 128), (55, 101), (1, 1), (1, 1), ((4, 1), (4, 2), (4, 4))),
    Problem((67, 80), (12, 7), (8, 4), (5, 11)),
    Problem((72, 80), (24, 16), (1, 1), (3, 5)),
    Problem((84, 19), (7, 3), (1, 1), (1, 1)),
    Problem((84, 19), (7, 3), (1, 1), (5, 1)),
    Problem((84, 69), (7, 20), (1, 6), (1, 1)),
    Problem((84, 69), (7, 20), (1, 6), (5, 1)),
    Problem((84, 69), (7, 23), (1, 1), (1, 1)),
    Problem((84, 69), (7, 23), (1, 1), (5, 1)),
    Problem((84, 69), (7, 68), (1, 1), (1, 1)),
    Problem((84, 69), (7, 68), (1, 1), (5, 1)),
    Problem((128, 128), (4, 4), (1, 1), (1, 1)),
    Problem((128, 128), (4, 4), (1, 1), (2, 2)),
    Problem((128, 128), (8, 8), (1, 1), (1, 1)),
    Problem((128, 128), (8, 8), (1, 1), (4, 4)),
    Problem((128, 128), (19, 24), (2, 3), (2, 2)),
    Problem((128, 128), (93, 78), (2, 2), (1, 1)),
)
