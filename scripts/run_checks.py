"""Run suites of tests, each a make target, and close with what they counted together.

SPDX-License-Identifier: Apache-2.0

    python3 scripts/run_checks.py MAKE SUITE...

All suites run, also after a failure. A suite that fails, or that ran no test, never counts
as passed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from typing import NamedTuple

_PLAIN = re.compile(
    r"^(?:[\w-]+: )?(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.MULTILINE
)
_CHECK = re.compile(
    r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)$", re.MULTILINE
)
_UNITTEST = re.compile(
    r"^Ran (\d+) tests? in [\d.]+s\n\n(?:OK|FAILED|NO TESTS RAN)(?: \((.*)\))?$",
    re.MULTILINE,
)


class Count(NamedTuple):
    """Tests of a suite, or of all."""

    passed: int
    failed: int
    skipped: int

    def plus(self, other: Count) -> Count:
        """Return the sum of two counts."""
        return Count(*(a + b for a, b in zip(self, other)))


def count(output: str) -> Count:
    """Return what the closing lines in the output of a suite say.

    Notes
    -----
    Plain lines "N passed, N failed" stand for the whole suite where there are any; else
    Check's and unittest's lines are added up.
    """
    total = Count(0, 0, 0)
    plain = _PLAIN.findall(output)
    for passed, failed, skipped in plain:
        total = total.plus(Count(int(passed), int(failed), int(skipped or 0)))
    if plain:
        return total
    for checks, failures, errors in _CHECK.findall(output):
        failed = int(failures) + int(errors)
        total = total.plus(Count(int(checks) - failed, failed, 0))
    for ran, notes in _UNITTEST.findall(output):
        by_name = {
            k: int(v) for k, v in re.findall(r"([a-z]+(?: [a-z]+)?)=(\d+)", notes)
        }
        skipped = by_name.get("skipped", 0)
        failed = sum(
            v
            for k, v in by_name.items()
            if k.strip() in ("failures", "errors", "unexpected successes")
        )
        total = total.plus(Count(int(ran) - failed - skipped, failed, skipped))
    return total


def settle(found: Count, status: int) -> tuple[Count, str]:
    """Return the count that a suite is entitled to, with a remark."""
    if status != 0 and found.failed == 0:
        return found._replace(failed=1), f"ended with status {status}"
    if status == 0 and found.failed > 0:
        return found, "status 0 in spite of failures"
    if found.passed == 0 and found.failed == 0:
        return found._replace(failed=1), "ran no test"
    return found, ""


def run(make: str, suite: str) -> tuple[Count, str]:
    """Run a suite, pass its output on, return its count and a remark."""
    env = dict(os.environ, PYTHONUNBUFFERED="1")
    # The jobserver of the make above does not reach through this program.
    flags = re.sub(r"--jobserver-\S+|(?<!\S)-j\d*", "", env.pop("MAKEFLAGS", ""))
    env["MAKEFLAGS"] = flags.strip()
    start = time.monotonic()
    print(f"\n==== {suite}", flush=True)
    process = subprocess.Popen(
        [make, "--no-print-directory", "-s", f"-j{os.cpu_count()}", suite],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        print(line, end="", flush=True)
    status = process.wait()
    found, remark = settle(count("".join(lines)), status)
    return found, f"{remark + ', ' if remark else ''}{time.monotonic() - start:.0f} s"


def main() -> int:
    """Run all suites, print the table and the closing line."""
    if len(sys.argv) < 3:
        sys.exit(
            "usage: python3 scripts/run_checks.py MAKE SUITE...: no suite was named"
        )
    rows = [(suite, *run(sys.argv[1], suite)) for suite in sys.argv[2:]]
    total = Count(0, 0, 0)
    print("\n==== all")
    for suite, found, remark in rows:
        total = total.plus(found)
        print(
            f"  {suite:<14} {found.passed:6} ok {found.failed:6} bad {found.skipped:6} "
            f"left out   {remark}"
        )
    tail = f", {total.skipped} skipped" if total.skipped else ""
    print(f"{total.passed} passed, {total.failed} failed{tail}", flush=True)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
