# Netlib's BLAS test programs under nearest: make check-blas. Included by targets.mk.
# SPDX-License-Identifier: Apache-2.0

SUITES += check-blas
.PHONY: check-blas
check-blas: all
	@python3 tests/blas/netlib.py --lib $(B)/libfuzzytorch.so --work $(B)/netlib
