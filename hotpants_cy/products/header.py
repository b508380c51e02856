"""Header keywords of the results, with the names of C HOTPANTS."""

from .statistics import DESCRIPTIONS

__all__ = ['header_cards', 'method_cards', 'noise_cards']


def header_cards(regions, config):
    """Keywords that describe a subtraction.

    Parameters
    ----------
    regions : list of RegionalSubtraction
        All regions, also those that failed.
    config : HotpantsConfig

    Returns
    -------
    dict
        ``(value, comment)`` by keyword; the last two digits of a keyword are the number of the region.
    """
    from ..behaviour import conf
    if not conf.log_to_header:
        return {}
    cards = {'SOFTNAME': ('hotpants_cy', 'image subtraction, Alard & Lupton 1998'),
             'PHOTNORM': (config.normalize, 'flux scale: template, image or unconvolved'),
             'NREGION': (len(regions), 'regions with a kernel of their own'), **method_cards(config)}
    cards |= noise_cards(regions)
    for run in regions:
        n = f'{run.region.index:02d}'
        cards[f'REGION{n}'] = (run.region.section, 'pixels of the region')
        if run.error is not None:
            cards[f'FAILED{n}'] = (str(run.error), '')
            continue
        cards[f'CONVOL{n}'] = ('TEMPLATE' if run.direction == 't' else 'IMAGE', 'image that was convolved')
        cards |= {f'{stem}{n}': (run.statistics[stem], comment) for stem, comment in DESCRIPTIONS.items()
                  if stem in run.statistics}
    if config.reasons:
        cards['HISTORY'] = [f'{name} = {value}: {words}' for name, value, words in config.explained()], ''
    return cards


def noise_cards(regions):
    """Keyword of the images whose neighbouring pixels are known to share noise, ``(value, comment)``; none if none."""
    known = [image.name for image in (regions[0].science, regions[0].template) if not image.correlated.is_white]
    return {'NOISCORR': (' and '.join(known), 'noise of neighbours known to correlate')} if known else {}


def method_cards(config):
    """Keywords of what goes beyond C HOTPANTS, ``(value, comment)`` by keyword; none if nothing does.

    Parameters
    ----------
    config : HotpantsConfig

    Returns
    -------
    dict
    """
    cards = {'EXACTKER': (config.exact, 'each pixel has its own kernel'),
             'FITWGHT': (config.weights, 'pixels of the fit are weighted with their noise'),
             'FITLOSS': (config.robust, 'robust loss of the fit')}
    return {keyword: card for keyword, card in cards.items() if card[0]}
