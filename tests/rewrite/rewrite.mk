# The instruction layer: make check-rewrite.
# SPDX-License-Identifier: Apache-2.0

FORMS_OBJ := $(addprefix $(B)/,tests/rewrite/test_forms.o tests/rewrite/forms.o \
               shim/rewrite/emit.o shim/rewrite/insn.o shim/rewrite/constants.o \
               shim/rewrite/definition.o)

$(B)/tests/rewrite/forms.o: tests/rewrite/forms.S
	@mkdir -p $(@D)
	$(CC) -c -o $@ $<

$(B)/tests/rewrite/forms: $(FORMS_OBJ) $(B)/libprism.a
	$(CC) -no-pie -o $@ $^ $(shell pkg-config --libs check) -lZydis -lm -lpthread

.PHONY: check-rewrite
check-rewrite: $(B)/tests/rewrite/forms
	$<
