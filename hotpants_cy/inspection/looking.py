"""What a result shows of itself: its pictures, and a page with all of them."""

__all__ = ['Pictures']


class Pictures:
    """The methods of a `~hotpants_cy.SubtractionResult` that draw it; matplotlib is imported when one is called."""

    def plot(self, figure=None):
        """Show images, difference and significance; see `hotpants_cy.inspection.pictures.plot_result`.

        Returns
        -------
        `~matplotlib.figure.Figure`

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> figure = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0)).plot()
        """
        from .pictures import plot_result
        return plot_result(self, figure)

    def plot_kernel(self, figure=None, grid=(3, 3)):
        """Show the kernel over the field; see `hotpants_cy.inspection.diagrams.plot_kernel`.

        Returns
        -------
        `~matplotlib.figure.Figure`

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> figure = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0)).plot_kernel(grid=(2, 2))
        """
        from .diagrams import plot_kernel
        return plot_kernel(self, figure, grid)

    def plot_kernel_at(self, x, y, ax=None):
        """Show the kernel at a position; see `hotpants_cy.inspection.diagrams.plot_kernel_at`.

        Returns
        -------
        `~matplotlib.figure.Figure`

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> figure = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0)).plot_kernel_at(128, 100)
        """
        from .diagrams import plot_kernel_at
        return plot_kernel_at(self, x, y, ax)

    def plot_substamps(self, n=8, figure=None):
        """Show stars and what is left of them; see `hotpants_cy.inspection.pictures.plot_substamps`.

        Returns
        -------
        `~matplotlib.figure.Figure`

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> figure = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0)).plot_substamps(3)
        """
        from .pictures import plot_substamps
        return plot_substamps(self, n, figure)

    def plot_quality(self, figure=None):
        """Show pulls, flux ratio and residuals; see `hotpants_cy.inspection.diagrams.plot_quality`.

        Returns
        -------
        `~matplotlib.figure.Figure`

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> figure = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0)).plot_quality()
        """
        from .diagrams import plot_quality
        return plot_quality(self, figure)

    def plot_pulls(self, ax=None):
        """Show difference over noise beside a Gaussian; see `hotpants_cy.inspection.diagrams.plot_pulls`.

        Returns
        -------
        `~matplotlib.figure.Figure`

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> figure = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0)).plot_pulls()
        """
        from .diagrams import plot_pulls
        return plot_pulls(self, ax)

    def plot_flux_ratio(self, ax=None):
        """Show the sum of the kernel over the field; see `hotpants_cy.inspection.diagrams.plot_flux_ratio`.

        Returns
        -------
        `~matplotlib.figure.Figure`

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> figure = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0)).plot_flux_ratio()
        """
        from .diagrams import plot_flux_ratio
        return plot_flux_ratio(self, ax)

    def plot_residuals(self, ax=None):
        """Show what is left of stars by their flux; see `hotpants_cy.inspection.diagrams.plot_residuals`.

        Returns
        -------
        `~matplotlib.figure.Figure`

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> figure = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0)).plot_residuals()
        """
        from .diagrams import plot_residuals
        return plot_residuals(self, ax)

    def report(self, path, overwrite=False):
        """Write an HTML page about it that needs no other file; see `hotpants_cy.inspection.report.write_report`.

        Examples
        --------
        >>> import tempfile
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result.report(f'{folder}/report.html')
        """
        from .report import write_report
        write_report(self, path, overwrite)
