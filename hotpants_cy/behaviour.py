"""How the package behaves, as far as no pixel depends on it: `hotpants_cy.conf`."""

from astropy.config import ConfigItem, ConfigNamespace

__all__ = ['Conf', 'conf']


class Conf(ConfigNamespace):
    """Behaviour of hotpants_cy, set here or in ``hotpants_cy.cfg`` of astropy's configuration.

    Parameters of a subtraction are not among it: they belong into a `~hotpants_cy.HotpantsConfig`, so that a script
    gives the same difference on every machine.

    Examples
    --------
    >>> from hotpants_cy.behaviour import conf
    >>> from hotpants_cy.threads import resolve_threads
    >>> with conf.set_temp('n_threads', 1):
    ...     resolve_threads()
    1
    """

    n_threads = ConfigItem(
        0, 'Threads where no n_threads is given; 0: the CPUs that this process may use.', 'integer(min=0)',
        module='hotpants_cy')
    log_to_header = ConfigItem(
        True, 'Whether the headers of results say how they were made: regions, direction, statistics.',
        module='hotpants_cy')

    def __repr__(self):
        return f'<{type(self).__name__}: ' + ', '.join(f'{name}={getattr(self, name)}' for name in self) + '>'


conf = Conf()
