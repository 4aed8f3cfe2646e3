# Examples in C: built with the library, run by make check-examples. Included by targets.mk.
# SPDX-License-Identifier: Apache-2.0

all: $(B)/examples/prism/harmonic

$(B)/examples/prism/%: examples/prism/%.c $(B)/libprism.a
	@mkdir -p $(@D)
	$(CC) $(CSTD) $(WARN) -O2 -I. -o $@ $< $(B)/libprism.a

.PHONY: check-examples
check-examples: $(B)/examples/prism/harmonic $(B)/libfuzzytorch.so $(B)/fuzzytorch-plan
	@HARMONIC=$< NAS_LIBRARY=$(abspath $(B))/libfuzzytorch.so \
	    python3 -m unittest discover -s tests/examples -t tests/examples
