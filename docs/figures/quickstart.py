"""The figure of the page "Quickstart", drawn when the documentation is built."""


def result():
    """Science image, matched template, difference and significance of the pair of that page."""
    from matplotlib import pyplot as plt

    import hotpants_cy as hp
    from hotpants_cy.datasets import make_pair
    pair = make_pair(seed=1)
    figure = plt.figure(figsize=(9.6, 8.6))
    hp.subtract(pair.science, pair.template, config='auto').plot(figure=figure)
    return figure
