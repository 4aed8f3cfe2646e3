# What the scan finds, against the compiler's labels: make check-rewrite-scan.
# SPDX-License-Identifier: Apache-2.0

SCAN_OBJ := $(addprefix $(B)/,tests/rewrite/test_scan.o shim/rewrite/image.o shim/rewrite/callees.o \
              shim/rewrite/scan.o shim/rewrite/insn.o)

$(B)/tests/rewrite/scan: $(SCAN_OBJ)
	$(CC) -o $@ $^ -lZydis -lpthread

.PHONY: check-rewrite-scan
check-rewrite-scan: $(B)/tests/rewrite/scan
	@FZ_TEST_SCAN=$< python3 tests/rewrite/test_scan.py
