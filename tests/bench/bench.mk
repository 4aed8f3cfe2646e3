# Ratios to the stock library, interleaved: make bench, make bench BENCH=quick.
# SPDX-License-Identifier: Apache-2.0

BENCH ?= full

$(B)/tests/bench/calls.so: tests/bench/calls.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -shared -o $@ $<

$(B)/tests/bench/local: $(B)/tests/bench/local.o $(B)/libprism.a
	$(CC) -o $@ $^

.PHONY: bench
bench: $(B)/libfuzzytorch.so $(B)/tests/bench/calls.so $(B)/tests/bench/local
	@$(PY_WHEEL) tests/bench/bench.py $(BENCH) $(B)
