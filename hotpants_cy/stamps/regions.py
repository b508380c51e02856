"""Rectangles of the image, each with a kernel of its own (spec 2.3 to 2.6)."""

from dataclasses import dataclass

from ..exceptions import InputError

__all__ = ['Region', 'StampGrid', 'regions_of', 'stamp_grid']


@dataclass(frozen=True)
class Region:
    """A rectangle of the image, and the wider one that is worked on to serve it.

    Parameters
    ----------
    index : int
        Number of the region, from 0.
    x0, x1, y0, y1 : int
        First and last pixel of the rectangle, 0-based and inclusive.
    buffer : (int, int, int, int)
        The same of the wider, buffered rectangle.
    """

    index: int
    x0: int
    x1: int
    y0: int
    y1: int
    buffer: tuple

    @property
    def origin(self):
        """Position (x, y) of the first pixel of the buffered rectangle."""
        return self.buffer[0], self.buffer[2]

    @property
    def shape(self):
        """Shape (ny, nx) of the buffered rectangle."""
        return self.buffer[3] - self.buffer[2] + 1, self.buffer[1] - self.buffer[0] + 1

    @property
    def buffered(self):
        """Slices of the image that are worked on."""
        return (slice(self.buffer[2], self.buffer[3] + 1), slice(self.buffer[0], self.buffer[1] + 1))

    @property
    def output(self):
        """Slices of the image that are written."""
        return slice(self.y0, self.y1 + 1), slice(self.x0, self.x1 + 1)

    @property
    def inner(self):
        """Slices of the buffered rectangle that are written."""
        bx, by = self.origin
        return slice(self.y0 - by, self.y1 + 1 - by), slice(self.x0 - bx, self.x1 + 1 - bx)

    @property
    def section(self):
        """The rectangle in the manner of FITS, 1-based: ``[x1:x2,y1:y2]``."""
        return f'[{self.x0 + 1}:{self.x1 + 1},{self.y0 + 1}:{self.y1 + 1}]'


@dataclass(frozen=True)
class StampGrid:
    """Stamps per region in x and y, and their width in pixels."""

    nx: int
    ny: int
    width: int


def stamp_grid(shape, config):
    """Lay out the stamps of every region (spec 2.3).

    Parameters
    ----------
    shape : (int, int)
        Shape (ny, nx) of the whole image.
    config : `~hotpants_cy.HotpantsConfig`

    Returns
    -------
    StampGrid
        With fewer stamps than asked for where they would be narrower than a substamp.
    """
    ny, nx = shape
    per_region_x, per_region_y = nx // config.nregx, ny // config.nregy
    n_x, n_y = config.nstampx, config.nstampy
    width = config.stamp_width(nx, ny)
    if width < config.substamp_width:
        width = config.substamp_width + config.kernel_width - 1
        n_x, n_y = per_region_x // width, per_region_y // width
    return StampGrid(n_x, n_y, width)


def regions_of(shape, config):
    """List the regions (spec 2.4 to 2.6): those of ``region_list``, or a grid.

    Neighbouring regions of a grid share one row or column, where the later one wins, as in C.

    Parameters
    ----------
    shape : (int, int)
        Shape (ny, nx) of the image.
    config : `~hotpants_cy.HotpantsConfig`

    Returns
    -------
    list of Region
        Row by row.

    Raises
    ------
    InputError
        A region has no pixel in the image.
    """
    first_x, last_x, first_y, last_y = good = good_range(shape, config)
    if config.region_list is not None:
        rectangles = [(max(x0, first_x), min(x1, last_x), max(y0, first_y), min(y1, last_y))
                      for x0, x1, y0, y1 in config.region_list]
    else:
        columns = _cuts(first_x, last_x, config.nregx, config.parity)
        rectangles = [(*column, *row) for row in _cuts(first_y, last_y, config.nregy, config.parity)
                      for column in columns]
    for x0, x1, y0, y1 in rectangles:
        if x1 < x0 or y1 < y0:
            raise InputError(f'the region {x0}:{x1},{y0}:{y1} has no pixel in the image of {shape[1]} x {shape[0]}')
    margin = stamp_grid(shape, config).width // 2 if len(rectangles) > 1 else config.rkernel
    return [Region(index, *rectangle, _buffer(rectangle, margin, good)) for index, rectangle in enumerate(rectangles)]


def good_range(shape, config):
    """First and last pixel to use in x and in y, 0-based (spec 2.4); the upper limits of ``-gd`` are exclusive."""
    ny, nx = shape
    x0, x1, y0, y1 = config.good_range or (0, 0, 0, 0)
    return x0, (min(nx, x1) if x1 > 0 else nx) - 1, y0, (min(ny, y1) if y1 > 0 else ny) - 1


def _cuts(first, last, n, parity):
    # C forgets the start of the good range when it counts the end of a region (P21)
    offset = 0 if parity else first
    return [(first + i * (last - offset) // n, min(offset + (i + 1) * (last - offset) // n, last)) for i in range(n)]


def _buffer(rectangle, margin, good):
    x0, x1, y0, y1 = rectangle
    first_x, last_x, first_y, last_y = good
    return max(first_x, x0 - margin), min(last_x, x1 + margin), max(first_y, y0 - margin), min(last_y, y1 + margin)
