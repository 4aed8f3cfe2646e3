# The instruction layer: make check-rewrite.
# SPDX-License-Identifier: Apache-2.0

FORMS_OBJ := $(addprefix $(B)/,tests/rewrite/test_forms.o tests/rewrite/forms.o \
               shim/rewrite/emit.o shim/rewrite/emit_avx2.o shim/rewrite/emit_cold.o \
               shim/rewrite/emit_cestac.o shim/rewrite/emit_chain.o \
               shim/rewrite/emit_evex.o shim/rewrite/held.o \
               shim/rewrite/emit_written.o shim/rewrite/lend.o \
               shim/rewrite/insn.o shim/rewrite/constants.o \
               shim/rewrite/definition.o)

$(B)/tests/rewrite/forms.o: tests/rewrite/forms.S
	@mkdir -p $(@D)
	$(CC) -c -o $@ $<

$(B)/tests/rewrite/forms: $(FORMS_OBJ) $(B)/libprism.a
	$(CC) -no-pie -o $@ $^ $(shell pkg-config --libs check) -lZydis -lm -lpthread

$(B)/tests/rewrite/evex_forms.o: tests/rewrite/evex_forms.S
	@mkdir -p $(@D)
	$(CC) -c -o $@ $<

$(B)/tests/rewrite/evex: $(B)/tests/rewrite/test_evex.o $(B)/tests/rewrite/evex_forms.o \
                         $(filter-out %/test_forms.o %/forms.o,$(FORMS_OBJ)) $(B)/libprism.a
	$(CC) -no-pie -o $@ $^ $(shell pkg-config --libs check) -lZydis -lm -lpthread

# Plans are kept between the scripts of a suite; a new planner makes new ones.
REWRITE_TESTS := test_torch test_laws test_bf16 test_programs test_process test_walks \
                 test_compile test_coverage
SUITES += check-rewrite-scan
REWRITE_SLOW  := test_torch test_programs test_process test_ops test_executed test_compile

.PHONY: check-rewrite check-rewrite-slow
check-rewrite: all $(B)/tests/rewrite/forms $(B)/tests/rewrite/evex
	@$(B)/tests/rewrite/forms; status=$$?; $(B)/tests/rewrite/evex || status=1; \
	rm -rf $(B)/tests/rewrite/cache; \
	for t in $(REWRITE_TESTS); do \
	    echo "tests/rewrite/$$t.py"; \
	    FZ_TEST_BUILD=$(B) python3 tests/rewrite/$$t.py || status=1; \
	done; exit $$status

LONG_SUITES += check-rewrite-slow
check-rewrite-slow: all
	@status=0; rm -rf $(B)/tests/rewrite/cache; \
	for t in $(REWRITE_SLOW); do \
	    echo "tests/rewrite/$$t.py, slow"; \
	    FZ_TEST_SLOW=1 FZ_TEST_BUILD=$(B) python3 tests/rewrite/$$t.py || status=1; \
	done; \
	$(PY_WHEEL) tests/rewrite/test_switch.py --lib $(B)/libfuzzytorch.so || status=1; \
	exit $$status
