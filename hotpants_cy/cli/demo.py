"""``hotpants-cy demo``: subtract a simulated pair, and compare what is found with what was put in."""

import argparse
import sys
import time
from pathlib import Path

__all__ = ['main', 'run_demo']

SIZES = 200, 8192  # smaller has no room for the transients


def main(argv=None):
    """Run the demo from the command line.

    Parameters
    ----------
    argv : list of str, optional
        What follows ``hotpants-cy demo``. Default: ``sys.argv[1:]``.

    Returns
    -------
    int
        Exit status: 0, or 1 if something went wrong.
    """
    parser = argparse.ArgumentParser(
        prog='hotpants-cy demo', description='Simulate a science image with known transients and its template, '
        'subtract them, and compare the fluxes recovered with those put in.')
    parser.add_argument('folder', metavar='DIR', nargs='?', default='hotpants-cy-demo',
                        help='folder to write to, whose demo files are replaced (default: %(default)s)')
    parser.add_argument('--size', metavar='N', type=int, default=512,
                        help='width and height of the images in pixels (default: %(default)s)')
    parser.add_argument('--seed', metavar='N', type=int, default=1,
                        help='seed of the simulation (default: %(default)s)')
    parser.add_argument('--threads', metavar='N', type=int,
                        help='number of threads (default: all this process may use)')
    args = parser.parse_args(argv)
    if not SIZES[0] <= args.size <= SIZES[1]:
        parser.error(f'--size {args.size} is impossible: it must be from {SIZES[0]} to {SIZES[1]}')
    if args.seed < 0:
        parser.error(f'--seed {args.seed} is impossible: it must be 0 or more')
    if args.threads is not None and args.threads < 1:
        parser.error(f'--threads {args.threads} is impossible: it must be 1 or more')
    return run_demo(args.folder, seed=args.seed, shape=(args.size, args.size), n_threads=args.threads)


def run_demo(folder='hotpants-cy-demo', *, seed=1, shape=(512, 512), n_threads=None):
    """Simulate a pair, subtract it, write the images, and print how well the transients came back.

    Parameters
    ----------
    folder : str or path-like, optional
        Where to write ``science.fits``, ``template.fits``, ``difference.fits``, ``convolved.fits``,
        ``transients.ecsv`` and, with matplotlib, ``triptych.png``; they replace older ones.
        Default 'hotpants-cy-demo'.
    seed : int, optional
        Seed of the simulation. Default 1.
    shape : tuple of int, optional
        Shape ``(ny, nx)`` of the images. Default (512, 512).
    n_threads : int, optional
        Threads of the subtraction. Default: the CPUs this process may use.

    Returns
    -------
    int
        0, or 1 after one line on stderr if the folder cannot be written to or the subtraction fails.

    Examples
    --------
    >>> from hotpants_cy.cli.demo import run_demo
    >>> run_demo('demo', shape=(256, 256))  # doctest: +SKIP
    """
    from hotpants_cy import HotpantsConfig, subtract
    from hotpants_cy.datasets import make_pair
    from hotpants_cy.exceptions import HotpantsError
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pair = make_pair(shape, seed=seed)
        # the template is the sharper one; fixed, so that the difference surely has the science PSF to measure with
        config = HotpantsConfig(force_convolve='t', ko=1)
        start = time.perf_counter()
        result = subtract(pair.science, pair.template, config=config, n_threads=n_threads)
        seconds = time.perf_counter() - start
        table = compare(pair, result)
        written = write_all(folder, pair, result, table)
        print(report(pair, result, table, seconds))
        print('written: ' + ', '.join(str(folder / name) for name in written))
        print(draw(folder / 'triptych.png', pair, result))
    except OSError as error:
        return _failed(f'cannot write to {folder}: {error.strerror or error}')
    except HotpantsError as error:
        return _failed(str(error))
    return 0


def _failed(reason):
    print(f'hotpants-cy demo: {reason}', file=sys.stderr)
    return 1


def compare(pair, result):
    """Measure the transients on the difference, on the template's flux scale, beside what was put in.

    Parameters
    ----------
    pair : SimulatedPair
        The truth.
    result : SubtractionResult
        The subtraction of ``pair`` with the template convolved.

    Returns
    -------
    `~astropy.table.QTable`
        Columns ``x``, ``y``, ``snr``, ``injected``, ``recovered``, ``error`` and ``pull``.
    """
    from hotpants_cy.photometry import measure_fluxes

    def kernel(x, y):
        return result.kernel.image(x, y) / result.kernel.sum(x, y)

    found = measure_fluxes(result.difference, pair.transients, pair.science_psf,
                           convolved=pair.template, kernel=kernel)
    table = pair.transients['x', 'y', 'snr', 'flux_template']
    table.rename_column('flux_template', 'injected')
    table['recovered'], table['error'] = found['flux'], found['flux_err']
    table['pull'] = ((table['recovered'] - table['injected']) / table['error']).value
    table.sort('injected', reverse=True)
    return table


def report(pair, result, table, seconds):
    """Return the table of fluxes, the kernel sum and the time as text."""
    unit = table['injected'].unit
    ny, nx = pair.science.shape
    lines = [f'transients of a simulated {nx} x {ny} pair, fluxes in {unit} of the template:',
             f'{"x":>8} {"y":>8} {"injected":>10} {"recovered":>10} {"error":>8} {"pull":>6}']
    lines += [f'{row["x"]:8.2f} {row["y"]:8.2f} {row["injected"].value:10.0f} {row["recovered"].value:10.0f} '
              f'{row["error"].value:8.0f} {row["pull"]:+6.2f}' for row in table]
    lines += [f'kernel sum: {result.kernel.sum((nx - 1) / 2, (ny - 1) / 2):.4f} found, {pair.kernel_sum:.4f} true',
              f'subtracted in {seconds:.2f} s']
    return '\n'.join(lines)


def write_all(folder, pair, result, table):
    """Write the four images and the table, and return their file names."""
    images = {'science.fits': pair.science, 'template.fits': pair.template,
              'difference.fits': result.difference, 'convolved.fits': result.convolved}
    for name, image in images.items():
        image.write(folder / name, overwrite=True, hdu_flags='FLAGS')
    table.write(folder / 'transients.ecsv', overwrite=True)
    return [*images, 'transients.ecsv']


def draw(path, pair, result):
    """Write the picture, and return a line that says where it is, or how to get it."""
    from hotpants_cy.inspection.plots import plot_triptych
    try:
        figure = plot_triptych(pair.science, pair.template, result.difference, transients=pair.transients)
    except ImportError as error:
        return f'no picture: {error}'
    figure.savefig(path)
    return f'picture: {path}'
