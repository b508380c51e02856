"""Search for substamps in one grid cell of one image (spec 3.4 to 3.6)."""

import math

import numpy as np

from ..instructions import loops

__all__ = ['mark_star', 'rank', 'score_star', 'search_cell', 'search_cells']


def rank(scores):
    """Indices that sort ``scores`` ascending, equal ones in the order of C's quicksort (spec 3.6).

    Examples
    --------
    >>> rank([5, 1, 4, 4, 2, 9, 9, 0])
    [7, 1, 4, 3, 2, 0, 6, 5]
    """
    order = list(range(len(scores)))
    if len(set(scores)) == len(scores) and not math.isnan(sum(scores)):
        return sorted(order, key=scores.__getitem__)          # which no other way of sorting can tell from C's

    def sort(left, right):
        pivot = scores[order[(left + right) // 2]]
        i, j = left, right
        while True:
            while scores[order[i]] < pivot:
                i += 1
            while scores[order[j]] > pivot:
                j -= 1
            if i >= j:
                break
            order[i], order[j] = order[j], order[i]
            i, j = i + 1, j - 1
        i += i == j
        if left < j:
            sort(left, j)
        if i < right:
            sort(i, right)

    if order:
        sort(0, len(order) - 1)
    return order


def search_cell(data, mask, corner, shape, sky, sigma, *, high, threshold, half_width, wanted, bits):
    """Find the best substamps of one cell.

    Parameters
    ----------
    data : float32 array (ny, nx)
        Pixels of the region.
    mask : int32 array (ny, nx)
        Working mask; saturated pixels and the boxes of all peaks are marked in it.
    corner, shape : (int, int)
        First pixel (x, y) and shape (ny, nx) of the cell.
    sky, sigma : float
        Sky level and scatter of the cell, in data units.
    high : float
        Pixels from here up are saturated.
    threshold : float
        Height of a usable pixel over the sky, in sigmas.
    half_width : int
        Of a substamp, in pixels.
    wanted : int
        Substamps at most. Twice as many peaks are looked for before they are ranked.
    bits : (int, int)
        Flags that mark unusable and used pixels.

    Returns
    -------
    list of (x, y, score)
        In pixels of the region, highest score first.
    """
    box = np.array([(*corner, *shape[::-1])], np.intp)
    work = np.empty((1, max(shape[0] * shape[1], 1)), np.float32)
    (found,) = search_cells(data, mask, box, np.array([sky], float), np.array([sigma], float), high=high,
                            threshold=threshold, half_width=half_width, wanted=wanted, bits=bits, work=work)
    return found


def search_cells(data, mask, boxes, sky, sigma, *, high, threshold, half_width, wanted, bits, work):
    """`search_cell` for many cells that do not overlap, side by side.

    Parameters
    ----------
    boxes : intp array (n, 4)
        First pixel (x, y) and sides (nx, ny) of each cell.
    sky, sigma : float64 arrays (n,)
    work : float32 array (n_threads, pixels of the largest cell)
        Overwritten; each thread works in a row of it.

    Others are those of `search_cell`.

    Returns
    -------
    list of lists of (x, y, score)
    """
    n = len(boxes)
    xs, ys = np.empty((2, n, 2 * wanted), np.int32)
    scores, found = np.empty((n, 2 * wanted)), np.empty(n, np.int32)
    loops('search').peaks_of_boxes(data, mask, boxes, half_width, sky, sigma, high, threshold, *bits, xs, ys, scores,
                                   found, work.view(np.int32))
    return [_best(box[:2], x[:k], y[:k], score[:k], wanted)
            for box, x, y, score, k in zip(boxes.tolist(), xs, ys, scores, found, strict=True)]


def _best(corner, xs, ys, scores, wanted):
    """The peaks of highest score, with their positions in the region."""
    return [(corner[0] + int(xs[i]), corner[1] + int(ys[i]), float(scores[i]))
            for i in rank(scores.tolist())[::-1][:wanted]]


def score_star(data, mask, corner, shape, sky, sigma, *, high, threshold, half_width, bits, position):
    """Score of a substamp at ``position`` (x, y), in pixels of the region; 0 if it cannot be used (spec 3.5).

    Other parameters as in `search_cell`.
    """
    (x0, y0), (ny, nx) = corner, shape
    return loops('search').score_at(data, mask, x0, y0, nx, ny, half_width, sky, sigma, high, threshold, *bits,
                                    position[0] - x0, position[1] - y0)


def mark_star(mask, x, y, half_width, bit, *, transposed=False):
    """Mark the box around a star from a list as used.

    Parameters
    ----------
    mask : int32 array (ny, nx)
        Working mask of the region.
    x, y : int
        Centre of the box.
    half_width : int
        Of the box, in pixels.
    bit : int
        The flag to set.
    transposed : bool, optional
        Exchange rows and columns, as C does by mistake (P9). Default False.
    """
    if not transposed:
        mask[max(y - half_width, 0):y + half_width + 1, max(x - half_width, 0):x + half_width + 1] |= bit
        return
    xs, ys = (np.arange(-half_width, half_width + 1) + centre for centre in (x, y))
    index = (ys[:, np.newaxis] + mask.shape[1] * xs).ravel()
    mask.reshape(-1)[index[(index >= 0) & (index < mask.size)]] |= bit
