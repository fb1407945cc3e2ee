"""NATTEN's rule of which keys a query sees along one axis, query by query: the measure of the blocks' own."""

import numpy as np


def seen(size, kernel, stride, dilation, causal, position):
    """Places of the keys that the query at `position` sees."""
    grid = range(position % dilation, size, dilation)  # the query's residue class
    own = position // dilation
    group = own // stride * stride  # the first of those that see what their leader sees
    if causal:
        last = min(group + stride - 1, len(grid) - 1)
        return list(grid)[max(last - kernel + 1, 0) : own + 1]
    centre = min(group + stride // 2, len(grid) - 1)
    first = min(max(centre - kernel // 2, 0), len(grid) - kernel)
    return list(grid)[first : first + kernel]


def mask(size, kernel, stride, dilation, causal):
    """(size, size) bool: whether query row sees key column."""
    sees = np.zeros((size, size), bool)
    for position in range(size):
        sees[position, seen(size, kernel, stride, dilation, causal, position)] = True
    return sees
