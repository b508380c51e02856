"""Rectangles of the image, each with a kernel of its own (spec 2.3 to 2.6)."""

from dataclasses import dataclass

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
    width = min(per_region_x // n_x, per_region_y // n_y) - config.kernel_width
    if width % 2 == 0:
        width -= 1
    if width < config.substamp_width:
        width = config.substamp_width + config.kernel_width - 1
        n_x, n_y = per_region_x // width, per_region_y // width
    return StampGrid(n_x, n_y, width)


def regions_of(shape, config):
    """Divide the image into regions (spec 2.5, 2.6).

    Neighbouring regions share one row or column, where the later one wins, as in C.

    Parameters
    ----------
    shape : (int, int)
        Shape (ny, nx) of the image.
    config : `~hotpants_cy.HotpantsConfig`

    Returns
    -------
    list of Region
        Row by row.
    """
    last_x, last_y = shape[1] - 1, shape[0] - 1
    n_x, n_y = config.nregx, config.nregy
    margin = stamp_grid(shape, config).width // 2 if n_x * n_y > 1 else config.rkernel
    regions = []
    for j in range(n_y):
        for i in range(n_x):
            x0, x1 = i * last_x // n_x, min((i + 1) * last_x // n_x, last_x)
            y0, y1 = j * last_y // n_y, min((j + 1) * last_y // n_y, last_y)
            buffer = (max(0, x0 - margin), min(last_x, x1 + margin), max(0, y0 - margin), min(last_y, y1 + margin))
            regions.append(Region(len(regions), x0, x1, y0, y1, buffer))
    return regions
