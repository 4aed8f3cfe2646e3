# The library under snippet programs and under both builds of torch: make check-shim.
# SPDX-License-Identifier: Apache-2.0

PRELOAD_SNIPPETS := test_lists test_policy test_process test_divert test_blas test_math

.PHONY: check-shim
check-shim: all
	@status=0; \
	for t in $(PRELOAD_SNIPPETS); do \
	    echo "tests/preload/$$t.py"; \
	    python3 tests/preload/$$t.py --lib $(B)/libfuzzytorch.so || status=1; \
	done; \
	for python in $(PY_WHEEL) $(PY_DEBIAN); do \
	    for t in test_torch test_plain test_callers test_faults; do \
	        echo "tests/preload/$$t.py, $$python"; \
	        $$python tests/preload/$$t.py --lib $(B)/libfuzzytorch.so || status=1; \
	    done; \
	done; exit $$status
