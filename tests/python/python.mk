# Slow tests of the statistics and of reports: make check-slow. Included by targets.mk.
# SPDX-License-Identifier: Apache-2.0

LONG_SUITES += check-slow

.PHONY: check-slow
check-slow:
	@$(PY_WHEEL) tests/python/simulate_adaptive.py
	@$(PY_WHEEL) tests/python/slow_report.py
