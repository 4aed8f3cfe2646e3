# Unit tests: make check-unit, make check-unit-long. Included by targets.mk.
# SPDX-License-Identifier: Apache-2.0

UNIT_SRC := $(filter-out tests/unit/stream.c,$(wildcard tests/unit/*.c))
UNIT_OBJ := $(UNIT_SRC:%.c=$(B)/%.o)
UNIT_LIBS = $(shell pkg-config --libs check) -lmpfr -lgmp -ldl -lpthread -lm

$(B)/tests/unit/unit: $(UNIT_OBJ) $(B)/libfzkernels.a
	$(CC) -o $@ $(UNIT_OBJ) $(B)/libfzkernels.a $(UNIT_LIBS)

$(B)/tests/unit/stream: $(B)/tests/unit/stream.o $(B)/tests/unit/words.o $(B)/libprism.a
	$(CC) -o $@ $^

.PHONY: check-unit check-unit-long
check-unit: $(B)/tests/unit/unit
	$<

# All sizes, then a battery on the random words as they are used (hours).
check-unit-long: $(B)/tests/unit/unit $(B)/tests/unit/stream
	FZ_TEST_LONG=1 $<
	tests/unit/dieharder.sh $(B)/tests/unit/stream $(B)/tests/unit/dieharder
