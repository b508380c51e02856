"""Why each parameter has its value: chosen from the images, given by the user, or left as it is."""

import sys
from dataclasses import fields, replace

import numpy as np

__all__ = ['Reasoned']

FOLLOW = {'ngauss': 'sigma_gauss', 'use_pca': 'basis_images'}       # what nobody needs to give


class Reasoned:
    """Where the values of a `~hotpants_cy.HotpantsConfig` come from; those that differ in nothing else are equal."""

    @classmethod
    def auto(cls, science, template, stars=None, *, avoid=None, avoid_radius=None, science_fwhm=None,
             template_fwhm=None, n_threads=None, **fixed):
        """Choose the parameters from a pair of images.

        Both PSFs are measured on stars; they decide the direction, the width of the kernel and its Gaussians. A few
        kernels are tried on stars held out. ``hotpants_cy.subtract(..., config='auto')`` does the same, and simplifies
        the kernel when the fit does not stand.

        Parameters
        ----------
        science, template : `~astropy.nddata.CCDData`, `~astropy.nddata.NDData`, 2-D array, str or path
            As for `hotpants_cy.subtract`.
        stars, avoid, avoid_radius
            As for `hotpants_cy.subtract`. Default: stars that photutils finds.
        science_fwhm, template_fwhm : float, optional
            FWHM of the PSFs in pixels. Default: from the attribute ``psf`` of the image, or measured.
        n_threads : int, optional
            Default: the CPUs that this process may use.
        **fixed
            Parameters that you set; they stay as they are.

        Returns
        -------
        HotpantsConfig
            Its `explain` tells the reason of each value.

        Raises
        ------
        InputError
            An image or the stars cannot be used.

        Examples
        --------
        >>> from hotpants_cy import HotpantsConfig
        >>> from hotpants_cy.datasets import make_pair
        >>> pair = make_pair((256, 256), seed=1)
        >>> config = HotpantsConfig.auto(pair.science, pair.template, bgo=0)
        >>> config.force_convolve, config.bgo, config.reasons['bgo']
        ('t', 0, 'given')
        """
        from .autoconfig import choose_config  # the one door to a room below
        return choose_config(science, template, stars, avoid=avoid, avoid_radius=avoid_radius,
                             science_fwhm=science_fwhm, template_fwhm=template_fwhm, n_threads=n_threads, **fixed)

    @property
    def reasons(self):
        """Why parameters have their values, by name: of those chosen by `auto`, and what the user fixed."""
        return dict(self.__dict__.get('_reasons', {}))

    def with_reasons(self, reasons):
        """The same configuration, with the reasons of its values; for the package itself."""
        twin = replace(self)
        object.__setattr__(twin, '_reasons', {name: str(words) for name, words in reasons.items()})
        return twin

    def explained(self):
        """What was chosen or fixed, as a list of (name, value, reason); for the package itself.

        The values are short texts.
        """
        known = {spec.name for spec in fields(self)}
        return [(name, _brief(getattr(self, name)) if name in known else 'yes', words)
                for name, words in self.reasons.items()]

    def explain(self):
        """Print each value, its rule, and the numbers that led to it.

        Examples
        --------
        >>> from hotpants_cy import HotpantsConfig
        >>> HotpantsConfig(ko=1).explain()
        tuthresh = None: default
        ...
        ko = 1: given
        ...
        """
        rows = self.explained()
        told = {name for name, *_ in rows}
        rows += [(spec.name, _brief(getattr(self, spec.name)), self._origin(spec)) for spec in fields(self)
                 if spec.name not in told]
        sys.stdout.write(''.join(f'{name} = {value}: {words}\n' for name, value, words in rows))

    def _origin(self, spec):
        """Where a value comes from that nobody has told a reason for."""
        if spec.name in FOLLOW:
            return f'follows from {FOLLOW[spec.name]}'
        return 'default' if getattr(self, spec.name) is spec.default else 'given'


def _brief(value):
    if isinstance(value, np.ndarray):
        return f'{len(value)} images'
    return f'{value:.6g}' if isinstance(value, float) else str(value)
