"""Which outputs are pictures or volumes, and where in them the noise lies.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import figures, measures_labels
from .arrays import Array
from .measures_labels import TopClass
from .study import Quantity

#: Larger items are not drawn.
_MOST = 1 << 25
_SMALLEST = 8

Images = list[tuple[str, np.ndarray, str, str]]


def item_shape(shape: Sequence[int], kind: str) -> tuple[int, ...] | None:
    """Return the shape of one picture or volume in a tensor, None where there is none.

    Parameters
    ----------
    shape : sequence of int
        Of the tensor.
    kind : str
        `file` may be a picture or volume of its own; outputs come in batches.
    """
    shape = tuple(shape)
    if kind == "file":
        if len(shape) == 3 and shape[2] in (3, 4) and min(shape[:2]) >= _SMALLEST:
            return shape
        while len(shape) > 2 and shape[-1] == 1:
            shape = shape[:-1]
        small = len(shape) not in (2, 3) or min(shape) < _SMALLEST
        return None if small else shape
    if len(shape) == 3:
        inner = shape[1:]
    elif len(shape) in (4, 5):
        inner = shape[2:]
    else:
        return None
    return inner if min(inner) >= _SMALLEST else None


def slices(volume: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Return a picture, or the three middle slices of a volume."""
    if volume.ndim == 3 and volume.shape[2] in (3, 4):
        return [("", volume.mean(axis=2))]
    if volume.ndim == 2:
        return [("", volume)]
    middle = [s // 2 for s in volume.shape]
    return [
        (f"slice {middle[axis]} of axis {axis}", np.take(volume, middle[axis], axis))
        for axis in range(3)
    ]


def _moments(
    arrays: Sequence[Array], start: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of a part of the arrays, one sample in memory at a time."""
    mean, squares = np.zeros(size), np.zeros(size)
    for k, array in enumerate(arrays, 1):
        values = array.piece(start, start + size).astype(np.float64)
        off = values - mean
        mean += off / k
        squares += off * (values - mean)
    return mean, squares / (len(arrays) - 1)


def noise(quantity: Quantity, entry: dict[str, Any]) -> str | None:
    """Return a figure of an image-like output: its mean and the bits kept, place by place.

    Parameters
    ----------
    quantity : Quantity
        The tensor.
    entry : dict
        Its entry in the report.
    """
    arrays = list(quantity.samples.values())
    shape = item_shape(quantity.shape, quantity.key.kind)
    usable = entry["measures"] is not None and arrays[0].dtype.kind == "f"
    if shape is None or not usable or quantity.ragged or len(arrays) < 2:
        return None
    size = math.prod(shape)
    if size > _MOST:
        return None
    with np.errstate(all="ignore"):
        mean, variance = _moments(arrays, 0, size)
        scale = math.sqrt(float(np.nanmean(mean * mean))) or 1.0
        top = entry["significand"] + 1
        kept = np.clip(-np.log2(np.sqrt(variance) / scale), 0, top)
    images: Images = []
    for (name, picture), (_, bits) in zip(
        slices(mean.reshape(shape)), slices(kept.reshape(shape))
    ):
        suffix = f", {name}" if name else ""
        images.append((f"mean{suffix}", picture, "gray", "value"))
        images.append((f"noise{suffix}", bits, "magma_r", "bits of the scale"))
    images = images[:2] if len(images) == 2 else images[0::2] + images[1::2]
    return figures.maps(images, f"Maps of {entry['label']}")


def votes(quantity: Quantity, entry: dict[str, Any]) -> str | None:
    """Return a map of the entropy of the votes, for label maps and segmentations."""
    if entry["labels"] is None or quantity.ragged:
        return None
    arrays: list[Any] = list(quantity.samples.values())
    axis = entry["class_axis"]
    if axis is not None:
        arrays = [TopClass(a, axis) for a in arrays]
    shape = arrays[0].shape
    if quantity.key.kind == "file" and axis is None:
        inner = item_shape(shape, "file")
    else:
        inner = tuple(shape[1:]) if len(shape) in (3, 4) else None
        inner = inner if inner and min(inner) >= _SMALLEST else None
    if inner is None or math.prod(inner) > _MOST or len(inner) > 3:
        return None
    size = math.prod(inner)
    flat = np.zeros(size, np.float32)
    modal = np.zeros(size, np.float32)
    step = 1 << 18
    for start in range(0, size, step):
        stop = min(size, start + step)
        rows = np.stack([a.piece(start, stop) for a in arrays])
        differ = (rows != rows[0]).any(axis=0)
        modal[start:stop] = rows[0]
        flat[start:stop][differ] = measures_labels.vote_entropy(rows[:, differ])[0]
    images: Images = []
    for (name, picture), (_, bits) in zip(
        slices(modal.reshape(inner)), slices(flat.reshape(inner))
    ):
        suffix = f", {name}" if name else ""
        images.append((f"label{suffix}", picture, "viridis", "label"))
        images.append((f"entropy{suffix}", bits, "magma", "bits"))
    images = images[:2] if len(images) == 2 else images[0::2] + images[1::2]
    return figures.maps(images, f"Entropy of votes of {entry['label']}")
