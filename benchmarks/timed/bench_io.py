"""From FITS files to a FITS file: the command line as a whole process, and `subtract` with paths.

Peak memory is that of the whole process, with all that is imported.
"""
import subprocess
import sys
from pathlib import Path

import hotpants_cy as hp
from hotpants_cy.cli.main import main
from hotpants_cy.datasets import make_pair

SIZES = [512, 1024, 2048]
COMMAND = str(Path(sys.executable).with_name('hotpants-cy'))
NO_LIMIT = '1e9'                    # above every pixel


class Files:
    """One pair of files to one difference."""

    params = (SIZES, [1, 2])
    param_names = ('size', 'threads')
    timeout = 300

    def setup_cache(self):
        from astropy.io import fits
        for size in SIZES:
            pair = make_pair((size, size), seed=1)
            for name in ('science', 'template'):
                fits.writeto(f'{name}{size}.fits', getattr(pair, name).data, overwrite=True)
    setup_cache.timeout = 300

    def setup(self, size, threads):
        self.science, self.template = f'science{size}.fits', f'template{size}.fits'
        self.arguments = ['-inim', self.science, '-tmplim', self.template, '-outim', 'difference.fits', '-c', 't',
                          '-tu', NO_LIMIT, '-tuk', NO_LIMIT, '-iu', NO_LIMIT, '-iuk', NO_LIMIT, '-v', '0',
                          '--threads', str(threads)]

    def time_command_line(self, size, threads):
        subprocess.run([COMMAND, *self.arguments], check=True)

    def peakmem_command_line(self, size, threads):
        if main(self.arguments):             # in this process: asv does not see the memory of others
            raise RuntimeError('the command line failed')

    def time_subtract(self, size, threads):
        config = hp.HotpantsConfig(force_convolve='t')
        result = hp.subtract(self.science, self.template, config=config, n_threads=threads)
        result.difference.write('result.fits', overwrite=True)


class Start:
    """What the command line takes before it does anything."""

    def time_version(self):
        subprocess.run([COMMAND, '--version'], check=True, stdout=subprocess.DEVNULL)
