# Studies: recording, the Python API, executors, installation: make check-studies.
# SPDX-License-Identifier: Apache-2.0

SUITES += check-studies

.PHONY: check-studies bench-studies
check-studies: all
	@status=0; export FUZZYTORCH_TESTED=$(abspath $(B))/libfuzzytorch.so; \
	$(PY_WHEEL) -m unittest discover -s tests/studies -t tests/studies || status=1; \
	$(PY_DEBIAN) -m unittest discover -s tests/studies -t tests/studies \
	    -p test_record.py || status=1; \
	for python in $(PY_WHEEL) $(PY_DEBIAN); do \
	    echo "tests/studies/in_process.py, $$python"; \
	    LD_PRELOAD=$$FUZZYTORCH_TESTED FUZZY_VERBOSE=0 $$python tests/studies/in_process.py \
	        || status=1; \
	done; \
	exit $$status

bench-studies: all
	@FUZZYTORCH_TESTED=$(abspath $(B))/libfuzzytorch.so $(PY_WHEEL) tests/studies/speed.py
