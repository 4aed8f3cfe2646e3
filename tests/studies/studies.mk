# Studies: recording, the Python API, executors, installation: make check-studies.
# SPDX-License-Identifier: Apache-2.0

SUITES += check-studies

.PHONY: check-studies bench-studies
check-studies: all
	@status=0; export FUZZYTORCH_TESTED=$(abspath $(B))/libfuzzytorch.so; \
	$(PY_WHEEL) -m unittest discover -s tests/studies -t tests/studies || status=1; \
	$(PY_DEBIAN) -m unittest discover -s tests/studies -t tests/studies \
	    -p 'test_[ar]*.py' || status=1; \
	exit $$status

bench-studies: all
	@FUZZYTORCH_TESTED=$(abspath $(B))/libfuzzytorch.so $(PY_WHEEL) tests/studies/speed.py
