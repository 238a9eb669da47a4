"""Stand-ins for cupyx.scipy.sparse and cupyx.scipy.sparse.linalg, as far as `cg` uses them."""

from scipy import sparse
from scipy.sparse import linalg

from executor.arrays import DeviceArray


def csr_matrix(parts, shape):
    assert all(isinstance(part, DeviceArray) for part in parts)
    return sparse.csr_matrix(tuple(part.values for part in parts), shape=shape)


class LinearOperator:
    def __init__(self, shape, matvec, dtype=None):
        def on_device(vector):
            found = matvec(DeviceArray(vector.copy()))
            assert isinstance(found, DeviceArray)
            assert found.shape == vector.shape
            return found.values

        self.inner = linalg.LinearOperator(shape, matvec=on_device, dtype=dtype)


def cg(A, b, x0=None, *, rtol=1e-5, maxiter=None, M=None, callback=None, atol=None):
    assert isinstance(b, DeviceArray)
    assert b.dtype == A.dtype
    x, info = linalg.cg(
        A, b.values, rtol=rtol, maxiter=maxiter, M=M.inner, callback=callback, atol=atol or 0.0
    )
    return DeviceArray(x), info
