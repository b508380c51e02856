"""The kernel: its basis, its fit to the substamps, and the model that comes out."""
