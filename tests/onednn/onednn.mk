# oneDNN's primitives executed by us, on both torch builds: make check-onednn.
# SPDX-License-Identifier: Apache-2.0

SUITES += check-onednn

.PHONY: check-onednn
check-onednn: all
	@$(PY_WHEEL) tests/onednn/test_onednn.py --lib $(B)/libfuzzytorch.so
	@$(PY_DEBIAN) tests/onednn/test_onednn.py --lib $(B)/libfuzzytorch.so
	@$(PY_WHEEL) tests/onednn/test_layers.py --lib $(B)/libfuzzytorch.so
	@$(PY_DEBIAN) tests/onednn/test_layers.py --lib $(B)/libfuzzytorch.so

# Thirty times as many convolutions.
LONG_SUITES += check-onednn-slow

.PHONY: check-onednn-slow
check-onednn-slow: all
	@ONEDNN_CASES=30 $(PY_WHEEL) tests/onednn/test_onednn.py --lib $(B)/libfuzzytorch.so \
	    Convolutions
	@ONEDNN_CASES=30 $(PY_DEBIAN) tests/onednn/test_onednn.py --lib $(B)/libfuzzytorch.so \
	    Convolutions
