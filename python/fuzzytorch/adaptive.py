"""Sample until it is decided whether all outputs keep so many bits.

SPDX-License-Identifier: Apache-2.0

Looking at a study after each run and stopping when it looks good claims too much. The rule
here looks after 5, 10, 20, 40, ... samples, with intervals that hold together over all looks
and quantities (docs/statistics.md).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from . import extras, numbers, statistics, store
from .errors import FuzzyError
from .statistics import Interval

if TYPE_CHECKING:
    from .sampling import Sampler
    from .study import Study

#: Exit statuses; 0 is PASS.
STATUS = {"PASS": 0, "FAIL": 3, "UNDECIDED": 4}
FIRST_LOOK = 5


def looks(most: int) -> list[int]:
    """Return the numbers of samples after which to look, up to `most`."""
    sizes = []
    n = FIRST_LOOK
    while n < most:
        sizes.append(n)
        n *= 2
    return [*sizes, most]


class Seen(NamedTuple):
    """What a look sees of one quantity.

    Attributes
    ----------
    sigma : float or None
        Pooled relative spread; None where it has no meaning.
    kurtosis : float
        That the claim should survive, of statistics.guarded_kurtosis.
    most : int
        Explicit bits of the significand.
    broken : str
        Why the quantity keeps no bits at all (not finite, another shape), or "".
    lacking : str
        Why nothing can be said of it (not recorded in a sample), or "".
    """

    sigma: float | None
    kurtosis: float
    most: int
    broken: str = ""
    lacking: str = ""


@dataclass
class State:
    """What all looks together say of one quantity."""

    low: float = 0.0
    high: float = math.inf
    why: str = ""


class Rule:
    """Repeated confidence intervals for the significant bits of several quantities.

    Parameters
    ----------
    names : sequence of str
        The J quantities; they stay the same from look to look.
    bits : float or None
        What each must keep; None to certify as much as can be.
    most : int
        The largest number of samples.
    alpha : float
        Probability that any interval of any look is wrong, for normal noise.
    """

    def __init__(
        self, names: Sequence[str], bits: float | None, most: int, alpha: float = 0.05
    ) -> None:
        self.bits = bits
        self.looks = looks(most)
        self.alpha = alpha
        self.states = {name: State() for name in names}
        self.look = -1

    def interval(self, n: int, look: int, seen: Seen) -> Interval:
        """Return L_k and U_k of a quantity after n samples."""
        alpha = statistics.look_alpha(look, len(self.states), self.alpha)
        degrees = statistics.effective_degrees(n, seen.kurtosis)
        if seen.sigma is None:
            return Interval(0.0, 0.0, 0.0)
        return statistics.bits_interval(seen.sigma, degrees, alpha, seen.most)

    def add(self, n: int, seen: dict[str, Seen]) -> str | None:
        """Take a look.

        Parameters
        ----------
        n : int
            Number of samples it rests on.
        seen : dict
            By name.

        Returns
        -------
        str or None
            PASS, FAIL or UNDECIDED; None to go on sampling.
        """
        self.look += 1
        attainable = math.inf
        for name, state in self.states.items():
            one = seen.get(name, Seen(0.0, 0.0, 23, lacking="missing"))
            state.why = one.broken or one.lacking
            if one.broken:
                state.low = state.high = 0.0
                continue
            if one.lacking:
                state.low = 0.0
                attainable = 0.0
                continue
            interval = self.interval(n, self.look, one)
            state.low = max(state.low, interval.low)
            state.high = min(state.high, interval.high)
            attainable = min(attainable, max(state.low, self._attainable(one)))
        last = self.look >= len(self.looks) - 1
        if self.bits is None:
            return self._certified(last)
        if any(s.high < self.bits for s in self.states.values()):
            return "FAIL"
        if any(s.why and s.high == 0.0 for s in self.states.values()):
            return "FAIL"
        if all(s.low >= self.bits and not s.why for s in self.states.values()):
            return "PASS"
        return "UNDECIDED" if last or attainable < self.bits else None

    def _certified(self, last: bool) -> str | None:
        if any(s.why for s in self.states.values()):
            return "UNDECIDED"
        if not last:
            return None
        return "PASS" if self.certified > 0.0 else "UNDECIDED"

    def _attainable(self, one: Seen) -> float:
        """Return the most that later looks could certify, were all samples equal."""
        return max(
            self.interval(n, k, Seen(0.0, 0.0, one.most)).low
            for k, n in enumerate(self.looks)
        )

    @property
    def certified(self) -> float:
        """The bits that all quantities keep, certified by now."""
        return min(s.low for s in self.states.values())

    @property
    def worst(self) -> str:
        """The name of the quantity that is certified least."""
        return min(self.states, key=lambda name: (self.states[name].low, name))


# ---- What is looked at --------------------------------------------------------------


def _scalar(values: Sequence[float], most: int) -> Seen:
    """Return what is seen of one number a sample, without NumPy."""
    if not all(math.isfinite(v) for v in values):
        count = sum(not math.isfinite(v) for v in values)
        return Seen(None, 0.0, most, f"not finite in {count} of {len(values)} samples")
    n = len(values)
    top = max(abs(v) for v in values)
    if min(values) == max(values):
        return Seen(0.0, 0.0, most)
    exponent = math.frexp(top)[1]
    scaled = [math.ldexp(v, -exponent) for v in values]
    mean = math.fsum(scaled) / n
    squares = [(v - mean) ** 2 for v in scaled]
    total = math.fsum(squares)
    kurtosis = statistics.excess_kurtosis(
        n, (total / n) ** 2, math.fsum(s * s for s in squares) / n
    )
    sigma = math.sqrt(total / (n - 1)) / abs(mean) if mean else None
    return Seen(sigma, statistics.guarded_kurtosis(n, kurtosis), most)


def _printed(study: Study, n: int) -> dict[str, Seen]:
    """Return what is seen of the numbers on stdout."""
    texts = [run.text() for run in study.samples[:n]]
    found = {}
    for value in numbers.align(texts).values:
        # Equal numbers prove no more than the digits that were printed.
        most = numbers.bits_shown(value, statistics.SIGNIFICAND_BITS["f32"])
        found[f"stdout: {value.label}"] = _scalar(value.values, most)
    return found


def _recorded(study: Study, n: int) -> dict[str, Seen]:
    """Return what is seen of recorded tensors and collected files."""
    from . import measures

    chosen = {int(run.folder.name.split("-")[1]) for run in study.samples[:n]}
    found = {}
    for quantity in study.quantities():
        arrays = [a for k, a in quantity.samples.items() if k in chosen]
        if not arrays or arrays[0].dtype.kind in "biu" or not arrays[0].size:
            continue
        name, most = f"{quantity.key.kind} {quantity.label}", quantity.significand
        if quantity.key.pass_ == "backward":
            name += " (backward)"
        if len({a.shape for a in arrays}) > 1:
            found[name] = Seen(None, 0.0, most, "its shape differs between samples")
        elif len(arrays) < n:
            lacking = f"not recorded in {n - len(arrays)} of {n} samples"
            found[name] = Seen(None, 0.0, most, lacking=lacking)
        else:
            total = measures.moments(arrays)
            if total.broken:
                where = len(total.broken_in)
                broken = f"not finite in {where} of {n} samples"
                found[name] = Seen(None, 0.0, most, broken)
                continue
            sigma = total.sigma()
            found[name] = Seen(
                None if math.isinf(sigma) else sigma, total.kurtosis, most
            )
    return found


def look_at(study: Study, n: int) -> dict[str, Seen]:
    """Return what the first n samples show: tensors, or the numbers on stdout if none.

    Parameters
    ----------
    study : Study
        At least n of its samples are finished.
    n : int
        Samples to use.
    """
    return _recorded(study, n) or _printed(study, n)


# ---- The command --------------------------------------------------------------------


def _text(value: float) -> str:
    """Return bits with one decimal, never rounded up: what is certified is certified."""
    return "inf" if math.isinf(value) else f"{math.floor(value * 10) / 10:.1f}"


def _reason(rule: Rule, outcome: str, n: int) -> str:
    worst = rule.worst
    state = rule.states[worst]
    count = len(rule.states)
    what = f"{count} quantities" if count > 1 else "1 quantity"
    if outcome == "PASS" and rule.bits is None:
        return (
            f"CERTIFIED after {n} samples: {what} keep at least {_text(rule.certified)} "
            f"bits, at 95 % confidence over all looks; least is certified of {worst}"
        )
    if outcome == "PASS":
        return (
            f"PASS after {n} samples: {what} keep at least {rule.bits:g} bits; "
            f"least is certified of {worst} ({_text(state.low)})"
        )
    if outcome == "FAIL":
        failing = min(rule.states, key=lambda name: rule.states[name].high)
        bad = rule.states[failing]
        how = bad.why or f"keeps at most {math.ceil(bad.high * 10) / 10:.1f} bits"
        return f"FAIL after {n} samples: {failing} {how}" + (
            f", {rule.bits:g} were asked for" if rule.bits is not None else ""
        )
    bits = rule.bits
    if state.why:
        return f"UNDECIDED after {n} samples: {worst}: {state.why}"
    if bits is not None and rule.look < len(rule.looks) - 1:
        return (
            f"UNDECIDED after {n} samples: {rule.looks[-1]} samples can never certify "
            f"{bits:g} bits of {worst}, equal as they may be: raise --max-samples or ask "
            f"for less"
        )
    return (
        f"UNDECIDED after {n} samples, the most allowed: of {worst}, between "
        f"{_text(state.low)} and {_text(state.high)} bits are kept: raise --max-samples"
    )


def _result(rule: Rule, outcome: str, n: int) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "reason": _reason(rule, outcome, n),
        "bits": rule.bits,
        "certified": rule.certified,
        "samples": n,
        "looks": rule.looks[: rule.look + 1],
        "alpha": rule.alpha,
        "quantities": [
            {
                "name": name,
                "low": state.low,
                "high": state.high if math.isfinite(state.high) else None,
                "why": state.why or None,
            }
            for name, state in rule.states.items()
        ],
    }


def run(
    sampler: Callable[[int], Sampler], path: Path, bits: float | None, most: int
) -> int:
    """Sample in looks until it is decided, print why, and return the exit status.

    Parameters
    ----------
    sampler : callable
        Gives the sampler of the study for a number of samples.
    path : pathlib.Path
        The study's folder.
    bits : float or None
        What each output must keep; None to certify as much as can be.
    most : int
        The largest number of samples.

    Returns
    -------
    int
        0 PASS, 3 FAIL, 4 UNDECIDED, 1 if a sample failed or was not perturbed.
    """
    extras.need("numpy")
    if most < FIRST_LOOK:
        raise FuzzyError(f"--max-samples {most}: at least {FIRST_LOOK} are needed")
    if bits is not None and not 0 < bits < math.inf:
        raise FuzzyError(f"--bits {bits:g}: a number above 0 is needed")
    from . import summary
    from .study import Study

    rule = None
    for n in looks(most):
        samples, _ = sampler(n).run()
        failed = [r for r in samples if not r.ok]
        bare = summary.unperturbed(samples)
        if failed or bare or len(samples) < n:
            what = "failed" if failed else "was not perturbed" if bare else "is missing"
            which = (failed or bare or samples)[-1].folder
            raise FuzzyError(f"a sample {what}, so nothing can be decided: {which}", 1)
        seen = look_at(Study(path), n)
        if not seen:
            raise FuzzyError(
                "nothing to decide on: no tensor was recorded, no number is on stdout "
                "(--record outputs)",
                1,
            )
        if rule is None:
            rule = Rule(list(seen), bits, most)
        outcome = rule.add(n, seen)
        worst = rule.states[rule.worst]
        print(
            f"look {rule.look + 1}: {n} samples, {len(rule.states)} quantities; least "
            f"certain {rule.worst}: {_text(worst.low)} to {_text(worst.high)} bits",
            flush=True,
        )
        if outcome is not None:
            result = _result(rule, outcome, n)
            print(result["reason"])
            try:
                store.write_json(path / "adaptive.json", result)
            except OSError as error:
                print(
                    f"fuzzyrun: warning: {path}/adaptive.json: {error.strerror}",
                    file=sys.stderr,
                )
            return STATUS[outcome]
    raise AssertionError("the last look decides")
