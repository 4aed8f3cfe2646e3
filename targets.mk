# Set-up, demo and tests; included by Makefile at its end.
# SPDX-License-Identifier: Apache-2.0
#
# A suite brings its own fragment tests/SUITE/*.mk with its target check-SUITE, which prints
# a closing line that scripts/run_checks.py can read: Check's, unittest's or
# "N passed, N failed".

# The two PyTorch builds that are tested: the wheel pinned in scripts/requirements.txt, and
# Debian's.
PY_WHEEL  ?= .venv/bin/python
PY_DEBIAN ?= /usr/bin/python3
JOBS      ?= $(shell nproc)
export PY_WHEEL PY_DEBIAN

# Cheap and likely to fail first.
SUITES := check-style check-python check-examples check-unit check-rewrite check-shim check-e2e
LONG_SUITES := check-unit-long

-include $(wildcard tests/*/*.mk) $(wildcard bench/*.mk)

.PHONY: help setup setup-check demo check check-long check-style check-python

help:
	@echo "make             build the library, $(B)/libfuzzytorch.so and $(B)/libprism.a"
	@echo "make demo        install what is missing, build, and show the first example"
	@echo "make check       install what is missing, build, and run all tests"
	@echo "make $(word 1,$(SUITES)) ...  one suite of tests: $(SUITES)"
	@echo "make check-long  tests that take hours"
	@echo "make bench       time against the stock library, a ratio a row (set up by make check)"
	@echo "make clean       remove $(B)/"

setup:
	@python3 scripts/setup.py demo $(B)/demo-python

setup-check:
	@python3 scripts/setup.py check

demo: setup
	@$(MAKE) --no-print-directory -s -j$(JOBS) all
	@"$$(cat $(B)/demo-python)" examples/digits/demo.py

check: setup-check
	@$(MAKE) --no-print-directory -s -j$(JOBS) all
	@+python3 scripts/run_checks.py "$(MAKE)" $(SUITES)

check-long:
	@python3 scripts/setup.py long
	@$(MAKE) --no-print-directory -s -j$(JOBS) all
	@+python3 scripts/run_checks.py "$(MAKE)" $(LONG_SUITES)

check-style:
	@python3 scripts/check_style.py

check-python: all
	@$(PY_WHEEL) -m unittest discover -s tests/python -t tests/python
