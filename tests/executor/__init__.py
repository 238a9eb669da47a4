"""Runs the backend `cuda` without a GPU: unchanged kernels, real launches, arrays like CuPy's."""

from executor.device import ORDERS, ExecutorDevice

__all__ = ["ORDERS", "ExecutorDevice"]
