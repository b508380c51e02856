"""What can go wrong, by name: errors with one clear sentence each, and warnings."""

from astropy.utils.exceptions import AstropyUserWarning

__all__ = [
    'DeconvolutionWarning',
    'HotpantsError',
    'HotpantsWarning',
    'InputError',
    'MismatchError',
    'NoStampsError',
    'NoiseModelWarning',
    'NotSupportedError',
    'OutputError',
    'RegistrationWarning',
    'SingularFitError',
    'TooFewStampsError',
]


class HotpantsError(Exception):
    """Base class of everything that hotpants_cy raises on purpose."""


class InputError(HotpantsError, ValueError):
    """An image, mask, noise plane or unit cannot be used as given."""


class OutputError(HotpantsError, OSError):
    """A result cannot be written; what was there before is still there."""


class NoStampsError(HotpantsError):
    """Not one usable star was found to fit the kernel with."""


class TooFewStampsError(HotpantsError):
    """The stars left are too few for the kernel asked for."""


class MismatchError(HotpantsError):
    """The kernel that fits best does not make one image into the other."""


class SingularFitError(HotpantsError):
    """The normal equations of the kernel have no finite solution."""


class NotSupportedError(HotpantsError, NotImplementedError):
    """Asked for something that this version does not do yet."""


class HotpantsWarning(AstropyUserWarning):
    """Base class of the warnings of hotpants_cy."""


class NoiseModelWarning(HotpantsWarning):
    """The noise of an image is taken from a model that may not fit it."""


class RegistrationWarning(HotpantsWarning):
    """The two images do not seem to lie on the same pixel grid."""


class DeconvolutionWarning(HotpantsWarning):
    """The kernel sharpens the image that it is applied to."""
