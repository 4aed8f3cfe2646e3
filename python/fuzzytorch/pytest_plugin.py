"""pytest: @pytest.mark.significant_bits(12, samples=10) on a test function.

SPDX-License-Identifier: Apache-2.0

The test runs once a sample, in process. What it records with `fuzzytorch.record`, or
returns, must keep that many bits; the failure lists the worst tensors. Without the library
(plain pytest) such tests are skipped; `fuzzyrun python -m pytest` runs them.
"""

from __future__ import annotations

from typing import Any

import pytest

_WORST = 8


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --fuzzy-required."""
    parser.getgroup("fuzzytorch").addoption(
        "--fuzzy-required",
        action="store_true",
        help="fail tests of significant bits, not skip them, where libfuzzytorch is not "
        "loaded",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Describe the marker."""
    config.addinivalue_line(
        "markers",
        "significant_bits(bits, samples=10, mode=None, seed=1, precision=None): what the "
        "test records or returns keeps that many bits under stochastic rounding",
    )


def significant_bits(values: list[Any]) -> tuple[float | None, str]:
    """Return the bits that n arrays of one tensor share, and what to say of it.

    Parameters
    ----------
    values : list of numpy.ndarray
        One a sample.

    Returns
    -------
    bits : float or None
        At 95 % probability and confidence, variances pooled over the elements; None where
        there is no estimate. Equal arrays have all bits of their type.
    note : str
        Empty, or what is special.
    """
    import math

    import numpy as np

    from . import statistics

    if len({(v.shape, str(v.dtype)) for v in values}) > 1:
        return None, "shapes or types differ between samples"
    if all(v.tobytes() == values[0].tobytes() for v in values):
        kind = "f64" if values[0].dtype.itemsize // (
            2 if values[0].dtype.kind == "c" else 1
        ) == 8 else "f32"
        return statistics.ceiling_bits(len(values), kind), "equal in all samples"
    if values[0].dtype.kind not in "fc":
        return None, "integers or booleans that differ between samples"
    finite = np.ones(values[0].shape, bool)
    for v in values:
        finite &= np.isfinite(v)
    nans = all(np.array_equal(np.isfinite(v), finite) for v in values)
    if not nans:
        return None, "non-finite in some samples only"
    wide = np.complex128 if values[0].dtype.kind == "c" else np.float64
    kept = [v[finite].astype(wide) for v in values]
    mean = sum(kept) / len(kept)
    spread = sum(float(np.sum(np.abs(v - mean) ** 2)) for v in kept)
    norm = float(np.sqrt(np.sum(np.abs(mean) ** 2)))
    if norm == 0.0:
        return None, "mean 0"
    sigma = math.sqrt(spread / (len(values) - 1)) / norm
    return -math.log2(sigma) - statistics.delta(len(values)), ""


def _judge(runs: list[dict[str, list[Any]]], bits: float) -> list[tuple[float, str]]:
    """Return what fails: a rank, worst first, and a line."""
    bad: list[tuple[float, str]] = []
    names = list(dict.fromkeys(name for run in runs for name in run))
    for name in names:
        counts = {len(run.get(name, ())) for run in runs}
        if len(counts) > 1:
            bad.append((-2.0, f"{name}: recorded {sorted(counts)} times"))
            continue
        for k in range(counts.pop()):
            label = name if k == 0 else f"{name}, call {k}"
            got, note = significant_bits([run[name][k] for run in runs])
            shape = list(runs[0][name][k].shape)
            if got is None:
                if note != "mean 0":
                    bad.append((-1.0, f"{label} {shape}: {note}"))
                else:
                    bad.append((0.0, f"{label} {shape}: mean 0, no relative precision"))
            elif got < bits and not note:
                bad.append((got, f"{label} {shape}: {got:.1f} bits"))
    return sorted(bad)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a marked test once a sample, then judge."""
    marker = pyfuncitem.get_closest_marker("significant_bits")
    if marker is None:
        return None
    import fuzzytorch

    from .inprocess import _record_all

    wanted = {"samples": 10, "mode": None, "seed": 1, "precision": None}
    unknown = set(marker.kwargs) - set(wanted) - {"bits"}
    given = [*marker.args, *([marker.kwargs["bits"]] if "bits" in marker.kwargs else [])]
    if unknown or len(given) != 1:
        pytest.fail(
            f"significant_bits takes bits and {', '.join(wanted)}, not "
            f"{', '.join(sorted(unknown)) or f'{len(given)} positions'}",
            pytrace=False,
        )
    options = {**wanted, **{k: v for k, v in marker.kwargs.items() if k in wanted}}
    bits, n = float(given[0]), int(options["samples"])
    if n < 2:
        pytest.fail(f"significant_bits: samples={n}: at least 2", pytrace=False)
    if not fuzzytorch.available():
        why = "libfuzzytorch is not loaded: fuzzyrun python -m pytest ..."
        if pyfuncitem.config.getoption("--fuzzy-required"):
            pytest.fail(why, pytrace=False)
        pytest.skip(why)
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    before, runs = fuzzytorch.perturbed_calls(), []
    for sample in fuzzytorch.samples(
        n, mode=options["mode"], seed=options["seed"], precision=options["precision"]
    ):
        _record_all(sample, pyfuncitem.obj(**arguments))
        runs.append(sample.records)
    if not any(runs):
        pytest.fail(
            "significant_bits: the test returns no tensor and records none "
            "(fuzzytorch.record)",
            pytrace=False,
        )
    if fuzzytorch.perturbed_calls() == before:
        pytest.fail("significant_bits: nothing was perturbed", pytrace=False)
    bad = _judge(runs, bits)
    if bad:
        lines = [f"{len(bad)} of the tensors keep less than {bits:g} bits in {n} samples:"]
        lines += [f"  {text}" for _, text in bad[:_WORST]]
        if len(bad) > _WORST:
            lines.append(f"  and {len(bad) - _WORST} more")
        pytest.fail("\n".join(lines), pytrace=False)
    return True
