"""Quantiles and variances that the results of test_e2e.py are held against.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import math

import numpy as np

#: Probability that one comparison fails although the law holds.
ALPHA = 1e-9


def log_beta_tail(x: float, a: float, b: float) -> float:
    """Return the regularized incomplete beta function I_x(a, b), x < (a + 1)/(a + b + 2).

    Notes
    -----
    By its continued fraction (modified Lentz), which converges quickly there.
    """
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(front + a * math.log(x) + b * math.log1p(-x)) / a
    c, d = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1))
    h = d
    for m in range(1, 500):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / (1.0 + step * d)
            c = 1.0 + step / c
            h *= c * d
        if abs(c * d - 1.0) < 1e-14:
            break
    return front * h


def t_quantile(alpha: float, degrees: int) -> float:
    """Return the t that Student's |t| passes with probability alpha (small)."""
    low, high = 1.0, 1e3
    for _ in range(200):
        t = (low + high) / 2
        tail = log_beta_tail(degrees / (degrees + t * t), degrees / 2, 0.5)
        low, high = (t, high) if tail > alpha else (low, t)
    return high


def ulp(x: np.ndarray) -> np.ndarray:
    """Return the spacing of f32 at x, 0 at 0."""
    return np.where(x == 0, 0.0, np.exp2(np.frexp(x)[1] - 24.0))


def chain(products: np.ndarray) -> np.ndarray:
    """Return the first-order variance of a sum that is rounded after each product.

    Parameters
    ----------
    products : ndarray
        f64 products, in the order of the sum along the last axis.
    """
    return (ulp(np.cumsum(products, -1)) ** 2).sum(-1) / 6


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the first-order variance of a @ b in SR, the sum over k in its order."""
    return chain(a[..., :, None, :] * np.swapaxes(b, -1, -2)[..., None, :, :])


def patches(x: np.ndarray, kernel: int) -> np.ndarray:
    """Return the operands of each output, as image × position × (row, column, channel),
    the order in which they are added up."""
    n, c, h, w = x.shape
    view = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), (2, 3))
    view = view.transpose(0, 2, 3, 4, 5, 1)
    return view.reshape(n, (h - kernel + 1) * (w - kernel + 1), c * kernel * kernel)


def conv2d(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return the first-order variance of a convolution without bias in SR."""
    side = x.shape[2] - w.shape[2] + 1
    flat = w.transpose(0, 2, 3, 1).reshape(len(w), -1)
    got = [
        matmul(p, flat.T).T.reshape(len(w), side, side) for p in patches(x, w.shape[2])
    ]
    return np.stack(got)


def conv2d_weight(x: np.ndarray, g: np.ndarray, kernel: int) -> np.ndarray:
    """Return the first-order variance of the gradient of its weight: one sum over the
    images and their positions."""
    flat = g.transpose(1, 0, 2, 3).reshape(g.shape[1], -1)
    p = patches(x, kernel)
    var = matmul(flat, p.reshape(-1, p.shape[2]))
    var = var.reshape(g.shape[1], kernel, kernel, x.shape[1])
    return var.transpose(0, 3, 1, 2)
