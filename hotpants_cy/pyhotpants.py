"""What pyhotpants' ``Hotpants`` has beside the five steps: attributes, files, looks inside."""

import logging

import numpy as np

from .exceptions import InputError
from .inputs.writing import write_whole
from .products.files import plane_file, stars_file
from .products.header import header_cards

__all__ = ['PyhotpantsNames']

log = logging.getLogger(__name__)

_FILES = ('output_file', 'noise_image_file', 'mask_image_file', 'convolved_image_file', 'sigma_image_file',
          'stamp_region_file')


class PyhotpantsNames:
    """Names of pyhotpants on top of the five steps of `~hotpants_cy.Hotpants`."""

    @property
    def nx(self):
        """Width of the images in pixels."""
        return self.science.shape[1]

    @property
    def ny(self):
        """Height of the images in pixels."""
        return self.science.shape[0]

    @property
    def template_data(self):
        """Pixels of the template, float32 (ny, nx)."""
        return self.template.data

    @property
    def image_data(self):
        """Pixels of the science image, float32 (ny, nx)."""
        return self.science.data

    @property
    def template_header(self):
        """Header of the template, dict-like."""
        return self.template.meta

    @property
    def image_header(self):
        """Header of the science image, dict-like."""
        return self.science.meta

    @property
    def output_header(self):
        """Header that the outputs build on, dict-like."""
        return self.science.meta

    def get_final_outputs(self):
        """Everything that came out.

        Returns
        -------
        dict
            ``diff_image``, ``convolved_image``, ``noise_image``, ``output_mask``, ``stats``,
            ``conv_direction``, ``kernel_solution``, ``fit_stats``.

        Examples
        --------
        >>> from hotpants_cy import Hotpants, HotpantsConfig
        >>> from hotpants_cy.datasets import make_pair
        >>> pair = make_pair((256, 256), seed=1)
        >>> hot = Hotpants(pair.template, pair.science, config=HotpantsConfig(ko=0, nstampx=4, nstampy=4))
        >>> outputs = hot.get_final_outputs()
        >>> outputs['diff_image'].shape, outputs['conv_direction']
        ((256, 256), 't')
        """
        difference, convolved, noise, flags = self.convolve_and_difference()
        s, fit = self.region.statistics, self.region.fit
        return {
            'diff_image': difference, 'convolved_image': convolved, 'noise_image': noise, 'output_mask': flags,
            'stats': {'diff_mean': s['DMEAN'], 'diff_std': s['DSIGE'], 'noise_mean': s['DSIG'],
                      'x2norm': s['X2NRM'], 'nx2norm': s['NX2NRM']},
            'conv_direction': self.region.direction, 'kernel_solution': fit.model.solution,
            'fit_stats': {'meansig': fit.mean_merit, 'scatter': fit.merit_scatter,
                          'nskipped': fit.n_stamps - fit.n_used},
        }

    def run_pipeline(self):
        """Run all steps, and write the files that the configuration names.

        Returns
        -------
        dict
            See `get_final_outputs`.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from hotpants_cy import Hotpants, HotpantsConfig
        >>> from hotpants_cy.datasets import make_pair
        >>> pair = make_pair((256, 256), seed=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     config = HotpantsConfig(ko=0, nstampx=4, nstampy=4, output_file=str(Path(folder, 'diff.fits')))
        ...     outputs = Hotpants(pair.template, pair.science, config=config).run_pipeline()
        ...     [path.name for path in Path(folder).iterdir()]
        ['diff.fits']
        """
        outputs = self.get_final_outputs()
        if any(getattr(self.config, name) for name in _FILES):
            self.save_outputs()
        return outputs

    def save_outputs(self):
        """Write the files that the configuration names, replacing older ones.

        The difference goes to ``output_file``, its noise to ``noise_image_file``, flags to ``mask_image_file``, the
        convolved image to ``convolved_image_file``, difference over noise to ``sigma_image_file``, the stars to
        ``stamp_region_file`` as ds9 boxes: used green, rejected by the fit red, by the direction test yellow.

        Nothing happens, but for a line in the log, if it names none.

        Raises
        ------
        OutputError
            A file cannot be written; none was then.

        Examples
        --------
        >>> import tempfile
        >>> from astropy.nddata import CCDData
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     config = hp.HotpantsConfig(ko=0, nstampx=4, nstampy=4, output_file=f'{folder}/diff.fits')
        ...     hp.Hotpants(pair.template, pair.science, config=config).save_outputs()
        ...     CCDData.read(config.output_file).shape
        (256, 256)
        """
        difference, convolved, noise, flags = self.convolve_and_difference()
        planes = {'output_file': difference, 'noise_image_file': noise, 'mask_image_file': flags,
                  'convolved_image_file': convolved}
        if self.config.sigma_image_file:
            with np.errstate(divide='ignore', invalid='ignore'):
                planes['sigma_image_file'] = difference / noise
        cards = header_cards(self.regions, self.config)
        without_unit = 'mask_image_file', 'sigma_image_file'
        files = {path: plane_file(planes[name], self.science, cards, name not in without_unit)
                 for name in planes if (path := getattr(self.config, name))}
        if self.config.stamp_region_file:
            files[self.config.stamp_region_file] = stars_file(self.template_substamps + self.image_substamps,
                                                              self.config.substamp_width)
        if not files:
            log.warning('there is nothing to save: name a file in the configuration (%s)', ', '.join(_FILES))
        write_whole(files, overwrite=True)

    def visualize_kernel(self, at_coords, size_factor=2.0):
        """Picture of the kernel at a position, in the middle of an empty image.

        Parameters
        ----------
        at_coords : (float, float)
            Position (x, y) in pixels, 0-based.
        size_factor : float, optional
            Width of the picture in kernel widths. Default 2.

        Returns
        -------
        float64 array (size, size)
            Rows along y. The size is odd, so that the kernel is centred.

        Raises
        ------
        InputError
            There is no kernel at the position, or no picture of that size.

        Examples
        --------
        >>> from hotpants_cy import Hotpants, HotpantsConfig
        >>> from hotpants_cy.datasets import make_pair
        >>> pair = make_pair((256, 256), seed=1)
        >>> hot = Hotpants(pair.template, pair.science, config=HotpantsConfig(ko=0, nstampx=4, nstampy=4))
        >>> hot.visualize_kernel((128, 128)).shape
        (43, 43)
        """
        try:
            x, y = (float(v) for v in at_coords)
            half = int(size_factor * self.config.kernel_width) // 2
        except (TypeError, ValueError, OverflowError):
            raise InputError(f'visualize_kernel needs a position (x, y) and a number, not {at_coords!r} and '
                             f'{size_factor!r}') from None
        if not (np.isfinite([x, y]).all() and 0 <= half <= 100 * self.config.kernel_width):
            raise InputError(f'there is no kernel of {size_factor:g} times its width at ({x:g}, {y:g})')
        kernel = self.kernel.image(x, y)
        middle, keep = len(kernel) // 2, min(half, len(kernel) // 2)
        part = kernel[middle - keep:middle + keep + 1, middle - keep:middle + keep + 1]
        return np.pad(part, half - keep)

    def get_substamp_details(self):
        """What became of the stars.

        Returns
        -------
        dict
            ``template_substamps`` and ``image_substamps``, lists of `Substamp`; and ``final_fit_locations`` with
            ``convolution_direction`` and ``locations``, a list of ``{'id', 'x', 'y'}`` of those used.

        Examples
        --------
        >>> from hotpants_cy import Hotpants, HotpantsConfig
        >>> from hotpants_cy.datasets import make_pair
        >>> pair = make_pair((256, 256), seed=1)
        >>> hot = Hotpants(pair.template, pair.science, config=HotpantsConfig(ko=0, nstampx=4, nstampy=4))
        >>> hot.get_substamp_details()['final_fit_locations']['convolution_direction']
        't'
        """
        _, used = self.iterative_fit_and_clip()
        return {'template_substamps': self.template_substamps, 'image_substamps': self.image_substamps,
                'final_fit_locations': {'convolution_direction': self.region.direction,
                                        'locations': [{'id': s.id, 'x': s.x, 'y': s.y} for s in used]}}

    @property
    def results(self):
        """The final outputs, with the planes that they came from.

        A dict with the keys of `get_final_outputs`, and ``input_mask``, ``t_noise_sq``, ``i_noise_sq``,
        ``final_fits``.
        """
        exposures, whole = (self.region.template, self.region.science), np.s_[:, :]
        template, science = (exposure.variance(whole, self.n_threads) for exposure in exposures)
        flags = exposures[0].flags(whole) | exposures[1].flags(whole)
        return self.get_final_outputs() | {'input_mask': flags, 't_noise_sq': template, 'i_noise_sq': science,
                                           'final_fits': self.iterative_fit_and_clip()[1]}
