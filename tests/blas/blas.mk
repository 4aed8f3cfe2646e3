# Netlib's BLAS programs, and LAPACK under both builds of torch: make check-blas.
# Included by targets.mk.
# SPDX-License-Identifier: Apache-2.0

SUITES += check-blas
.PHONY: check-blas
check-blas: all
	@status=0; \
	python3 tests/blas/netlib.py --lib $(B)/libfuzzytorch.so --work $(B)/netlib || status=1; \
	python3 tests/blas/test_lapack.py --lib $(B)/libfuzzytorch.so || status=1; exit $$status
