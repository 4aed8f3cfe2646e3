# Studies: recording, the Python API, executors, installation: make check-studies.
# SPDX-License-Identifier: Apache-2.0

SUITES += check-studies

.PHONY: check-studies bench-studies
# In two halves side by side, since most of it waits for Pythons to start.
check-studies: all
	@export FUZZYTORCH_TESTED=$(abspath $(B))/libfuzzytorch.so; \
	half=$$(mktemp); \
	( status=0; \
	for python in $(PY_WHEEL) $(PY_DEBIAN); do \
	    echo "tests/studies/in_process.py, $$python"; \
	    LD_PRELOAD=$$FUZZYTORCH_TESTED FUZZY_VERBOSE=0 $$python tests/studies/in_process.py \
	        || status=1; \
	done; \
	echo "tests/studies/test_record.py, $(PY_DEBIAN)"; \
	$(PY_DEBIAN) -m unittest discover -s tests/studies -t tests/studies -p test_record.py \
	    || status=1; \
	exit $$status ) > $$half 2>&1 & other=$$!; \
	status=0; \
	echo "tests/studies, $(PY_WHEEL)"; \
	$(PY_WHEEL) -m unittest discover -s tests/studies -t tests/studies || status=1; \
	wait $$other || status=1; cat $$half; rm -f $$half; \
	exit $$status

bench-studies: all
	@FUZZYTORCH_TESTED=$(abspath $(B))/libfuzzytorch.so $(PY_WHEEL) tests/studies/speed.py
