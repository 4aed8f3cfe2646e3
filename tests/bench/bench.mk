# Ratios to the stock library, interleaved: make bench, make bench BENCH=quick.
# SPDX-License-Identifier: Apache-2.0

BENCH ?= full

$(B)/tests/bench/calls.so: tests/bench/calls.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -shared -o $@ $<

$(B)/tests/bench/local: $(B)/tests/bench/local.o $(B)/libprism.a
	$(CC) -o $@ $^

$(B)/tests/bench/libm.o: ALL_CFLAGS += -fno-builtin
$(B)/tests/bench/libm: $(B)/tests/bench/libm.o
	$(CC) -o $@ $^ -lm

.PHONY: bench
bench: $(B)/libfuzzytorch.so $(B)/tests/bench/calls.so $(B)/tests/bench/local \
       $(B)/tests/bench/libm
	@$(PY_WHEEL) tests/bench/bench.py $(BENCH) $(B)
	@python3 tests/bench/libm.py $(B)/tests/bench/libm $(B)/libfuzzytorch.so
	@$(PY_WHEEL) tests/bench/onednn.py $(BENCH) $(B)
	@$(MAKE) --no-print-directory bench-inst
	@$(MAKE) --no-print-directory bench-training
	@$(MAKE) --no-print-directory bench-programs

# Convolutions, recurrent layers and brain extraction against native oneDNN.
.PHONY: bench-onednn
bench-onednn: $(B)/libfuzzytorch.so $(B)/tests/bench/calls.so
	@$(PY_WHEEL) tests/bench/onednn.py $(BENCH) $(B)

# Plain C and Fortran programs under the instruction layer.
.PHONY: bench-programs
bench-programs: $(B)/libfuzzytorch.so $(B)/fuzzytorch-plan
	@python3 tests/bench/programs.py $(B)

# What torch computes in line.
.PHONY: bench-inst
bench-inst: $(B)/libfuzzytorch.so $(B)/fuzzytorch-plan
	@$(PY_WHEEL) tests/bench/inst.py $(BENCH) $(B)

# Whole training steps, with the instruction layer and without.
.PHONY: bench-training
bench-training: $(B)/libfuzzytorch.so $(B)/fuzzytorch-plan
	@$(PY_WHEEL) tests/bench/training.py $(BENCH) $(B)

# Beside every other tool: those that are installed are measured, of the others stand the
# published figures.
.PHONY: bench-peers
bench-peers: $(B)/libfuzzytorch.so $(B)/fuzzytorch-plan
	@$(PY_WHEEL) tests/bench/peers.py $(BENCH) $(B) --chart docs/peers.png \
	    --json docs/peers.json
