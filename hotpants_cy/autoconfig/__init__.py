"""Parameters from the images: measure the pair (facts), apply the rules, try a few kernels on stars held out."""

from .ladder import climb_down
from .plan import Plan, make_plan

__all__ = ['Plan', 'climb_down', 'make_plan']
