"""Numbers in sentences."""

__all__ = ['counted']


def counted(number, noun):
    """Number and noun, which has an s unless there is one.

    Parameters
    ----------
    number : int
    noun : str
        In the singular.

    Returns
    -------
    str

    Examples
    --------
    >>> from hotpants_cy.words import counted
    >>> counted(1, 'star'), counted(0, 'star')
    ('1 star', '0 stars')
    """
    return f'{number} {noun}' if number == 1 else f'{number} {noun}s'
