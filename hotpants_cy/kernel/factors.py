"""Solutions of normal equations (spec 6.3)."""

import numpy as np

from ..instructions import loops

__all__ = ['Factors', 'solve_system']


class Factors:
    """A matrix factorised in its own memory, for several right hand sides."""

    def __init__(self, matrix):
        self.matrix, self.pivots = matrix, np.empty(len(matrix), np.int32)
        self.regular = loops('equations').factorise(matrix, np.empty(len(matrix)), self.pivots)

    def solve(self, vector):
        """Solution, in the memory of ``vector``."""
        loops('equations').solve(self.matrix, self.pivots, vector)
        return vector

    def solution(self, vector):
        """The same, but None if there is no finite one."""
        solution = self.solve(vector) if self.regular else None
        return solution if solution is not None and np.isfinite(solution).all() else None


def solve_system(matrix, vector):
    """Solution of a symmetric system, overwriting it; None if there is no finite one."""
    return Factors(matrix).solution(vector)
