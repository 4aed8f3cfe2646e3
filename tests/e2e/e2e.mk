# End to end on both torch builds: make check-e2e. Included by targets.mk.
# SPDX-License-Identifier: Apache-2.0

.PHONY: check-e2e
check-e2e: all
	@$(PY_WHEEL) tests/e2e/test_e2e.py --lib $(B)/libfuzzytorch.so
	@$(PY_DEBIAN) tests/e2e/test_e2e.py --lib $(B)/libfuzzytorch.so
