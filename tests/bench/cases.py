"""What make bench measures: configurations, operations, targets.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import NamedTuple


class Options(NamedTuple):
    """How long to measure: rounds, seconds of a block, array bytes, processes started."""

    rounds: int
    block: float
    array_bytes: int
    loads: int


OPTIONS = {
    "full": Options(9, 0.03, 1500 << 20, 300),
    "quick": Options(3, 0.01, 600 << 20, 60),
}


@functools.cache
def cpu_flags() -> frozenset[str]:
    """Return the flags of the CPU."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return frozenset(line.split())
    return frozenset()


def available(provider: str) -> bool:
    """Return whether a provider of native routines can be loaded."""
    if provider == "openblas":
        try:
            ctypes.CDLL("libopenblas.so.0", ctypes.RTLD_LOCAL)
        except OSError:
            return False
    return True


AVX2 = frozenset({"avx2", "fma", "aes"})
VAES = AVX2 | {"vaes"}
AVX512 = VAES | {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
NEEDS = {"avx2": AVX2, "avx2+vaes": VAES, "avx512": AVX512}

#: name: provider, CPU flags, environment.
CONFIGURATIONS: dict[str, tuple[str, frozenset[str], dict[str, str]]] = {
    "mkl": ("torch", frozenset(), {}),
    "mkl avx2": (
        "torch",
        AVX2,
        {
            "MKL_ENABLE_INSTRUCTIONS": "AVX2",
            "ONEDNN_MAX_CPU_ISA": "AVX2",
            "ATEN_CPU_CAPABILITY": "avx2",
        },
    ),
    "openblas": ("openblas", frozenset(), {}),
    "openblas haswell": ("openblas", AVX2, {"OPENBLAS_CORETYPE": "Haswell"}),
}
for _mode in ("sr", "ud", "cestac", "nearest"):
    for _isa, _needs in NEEDS.items():
        CONFIGURATIONS[f"{_mode} {_isa}"] = (
            "torch",
            _needs,
            {"FUZZY_MODE": _mode, "FUZZY_ISA": _isa},
        )

_EVERY = [f"{m} {i}" for m in ("sr", "ud", "cestac", "nearest") for i in NEEDS]
_SR = [f"sr {i}" for i in NEEDS]
_TWO = ["sr avx2+vaes", "sr avx512"]


def _gemm(kind: str, m: int, n: int, k: int, trans: str = "NN") -> dict:
    return {"kind": kind, "m": m, "n": n, "k": k, "trans": trans, "threads": 1}


#: label, what is timed, configurations, target. Targets are those of issue 3 for AVX2; the
#: same ratios hold for AVX-512 against native AVX-512.
CASES: list[tuple[str, dict, list[str], float | None]] = [
    ("sgemm 1024", _gemm("sgemm", 1024, 1024, 1024), _EVERY, 6),
    ("dgemm 1024", _gemm("dgemm", 1024, 1024, 1024), _EVERY, 10),
    *((f"sgemm {n}", _gemm("sgemm", n, n, n), _SR, 10) for n in (32, 64, 128)),
    *((f"dgemm {n}", _gemm("dgemm", n, n, n), _TWO, 10) for n in (32, 128)),
    ("sgemm m=1 n=k=1024", _gemm("sgemm", 1, 1024, 1024), _SR, 10),
    ("sgemm TN n=1 m=k=1024", _gemm("sgemm", 1024, 1, 1024, "TN"), _SR, 10),
    ("sgemm k=8 m=n=1024", _gemm("sgemm", 1024, 1024, 8), _SR, 10),
    ("sgemm n=8 m=k=1024", _gemm("sgemm", 1024, 8, 1024), _TWO, 10),
    ("sgemv N 1024", _gemm("sgemv", 1024, 1024, 1, "NN"), _SR, 10),
    ("sgemv T 1024", _gemm("sgemv", 1024, 1024, 1, "TN"), _SR, 10),
    ("dgemv N 1024", _gemm("dgemv", 1024, 1024, 1, "NN"), _TWO, 10),
    ("dgemv T 1024", _gemm("dgemv", 1024, 1024, 1, "TN"), _TWO, 10),
    ("sdot 10000", _gemm("sdot", 1, 10000, 1), _SR, 10),
    ("ddot 10000", _gemm("ddot", 1, 10000, 1), _TWO, 10),
    (
        "F.linear 1x1024 -> 1024",
        {"kind": "linear", "shape": (1, 1024, 1024), "threads": 1},
        _SR,
        10,
    ),
    ("bmm 64 of 64x64", {"kind": "bmm", "shape": (64, 64), "threads": 1}, _SR, 10),
    # As in ResNet: images, channels in and out, side, kernel. Natively oneDNN computes them.
    (
        "conv2d 1x64x56x56 3x3",
        {"kind": "conv2d", "shape": (1, 64, 64, 56, 3), "threads": 1},
        _TWO,
        None,
    ),
    (
        "conv2d 1x256x14x14 3x3",
        {"kind": "conv2d", "shape": (1, 256, 256, 14, 3), "threads": 1},
        _TWO,
        None,
    ),
    (
        "conv2d 4x128x28x28 1x1",
        {"kind": "conv2d", "shape": (4, 128, 128, 28, 1), "threads": 1},
        _TWO,
        None,
    ),
    (
        "LSTM 32 steps 16x128 -> 256",
        {"kind": "lstm", "shape": (32, 16, 128, 256), "threads": 1},
        _TWO,
        None,
    ),
    # Targets of issue 4. softmax and GELU: native, and what their exp or erf takes more.
    *(
        (
            f"{name} {dtype}",
            {"kind": "map", "shape": (name, dtype, 100000), "threads": 1},
            _TWO,
            goal if name not in ("softmax", "gelu", "log1p") else None,
        )
        for dtype, goal in (("float32", 4), ("float64", 15))
        for name in (
            "exp",
            "log",
            "tanh",
            "erf",
            "sin",
            "pow",
            "log1p",
            "softmax",
            "gelu",
        )
    ),
    # The routine that torch calls: cgemm, zgemm; trsm; getrf; potrf, which calls syrk.
    *(
        (
            f"{name} {dtype} {n}",
            {"kind": "linalg", "shape": (name, dtype, n), "threads": 1},
            _TWO,
            10,
        )
        for name, dtype, n in (
            ("mm", "complex64", 512),
            ("mm", "complex128", 512),
            ("solve_triangular", "float32", 512),
            ("solve_triangular", "float64", 512),
            ("lu_factor", "float32", 1000),
            ("lu_factor", "float64", 1000),
            ("cholesky", "float32", 1000),
        )
    ),
    ("sgemm 1024", {**_gemm("sgemm", 1024, 1024, 1024), "threads": 2}, _SR, 6),
    (
        "conv2d 4x128x28x28 1x1",
        {"kind": "conv2d", "shape": (4, 128, 128, 28, 1), "threads": 2},
        _TWO,
        None,
    ),
]

#: label, what is timed with 1 and 2 threads, least gain.
SCALING: list[tuple[str, dict, float | None]] = [
    ("sgemm 1024", _gemm("sgemm", 1024, 1024, 1024), 1.8),
    ("dgemm 512", _gemm("dgemm", 512, 512, 512), 1.8),
    ("sgemm 128", _gemm("sgemm", 128, 128, 128), None),
    (
        "conv2d 8x64x28x28 3x3",
        {"kind": "conv2d", "shape": (8, 64, 64, 28, 3), "threads": 1},
        1.8,
    ),
]
SCALING_CONFIGURATIONS = ("sr avx2", "sr avx2+vaes", "sr avx512")
