"""The random walker's definition written out densely, for small pictures."""

import numpy as np


def dense_walker(image, seeds, evidence, *, beta, gamma, boundary=None):
    """Return the potentials of all classes (K, H, W), by a dense solve over all pixels.

    evidence is (K, H, W), or None; only where no seed is does it matter.
    """
    height, width = seeds.shape
    unit = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1.0
    features = image.reshape(height * width, -1) / unit
    sigma = features.std() if boundary is None else boundary.std()
    n = height * width
    laplacian = np.zeros((n, n))
    number = np.arange(n).reshape(height, width)
    for a, b in ((number[:, :-1], number[:, 1:]), (number[:-1], number[1:])):
        i, j = a.ravel(), b.ravel()
        if boundary is None:
            squared = ((features[i] - features[j]) ** 2).sum(axis=1)
            w = np.exp(-beta * squared / (10 * sigma * np.sqrt(features.shape[1]))) + 1e-10
        else:
            g = boundary.ravel()
            w = np.exp(-beta / sigma * (g[i] + g[j]) ** 2) + 1e-10
        laplacian[i, j] -= w
        laplacian[j, i] -= w
    laplacian[number.ravel(), number.ravel()] = -laplacian.sum(axis=1)
    label = seeds.ravel()
    classes = label.max()
    unknown, known = label == 0, label > 0
    m = (label[known][:, np.newaxis] == np.arange(1, classes + 1)).astype(float)
    b = -laplacian[np.ix_(unknown, known)] @ m
    if gamma > 0:
        b += gamma * evidence.reshape(classes, n).T[unknown]
    x = np.zeros((n, classes))
    x[known] = m
    x[unknown] = np.linalg.solve(
        laplacian[np.ix_(unknown, unknown)] + gamma * np.eye(unknown.sum()), b
    )
    return x.T.reshape(classes, height, width)


def bilinear(planes, shape):
    """Return planes interpolated with half-pixel centres, by np.interp along each axis."""

    def along(values, size):
        old = (np.arange(values.shape[-1]) + 0.5) / values.shape[-1]
        new = (np.arange(size) + 0.5) / size
        return np.apply_along_axis(lambda row: np.interp(new, old, row), -1, values)

    tall = along(planes.astype(float).swapaxes(1, 2), shape[0]).swapaxes(1, 2)
    return along(tall, shape[1])
