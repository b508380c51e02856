"""Parameters from the images: measure the pair (facts), apply the rules, try a few kernels on stars held out."""

from .ladder import climb_down
from .plan import Plan, choose_config, make_plan

__all__ = ['Plan', 'choose_config', 'climb_down', 'make_plan']
