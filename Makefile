# libfuzzytorch: make, make check, make bench, make demo. `make help` lists the rest.
# SPDX-License-Identifier: Apache-2.0

ifeq ($(origin CC),default)
CC      := gcc
endif
B       := build
CSTD    := -std=c11 -D_GNU_SOURCE
# Never fast-math: it changes the rounding, and at link time it sets FTZ in the host process.
# -ffp-contract=off: a*b+c stays two roundings unless we write fma. -frounding-math: kernels
# change the rounding direction for their own duration.
# -fno-tree-slp-vectorize: gcc 12 drops the rounding of adjacent (f64)(f32)x stores with it.
FPFLAGS := -ffp-contract=off -fno-math-errno -fno-trapping-math -frounding-math \
           -fno-tree-slp-vectorize
WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-psabi
CFLAGS  ?= -O3 -g
ALL_CFLAGS = $(CSTD) $(FPFLAGS) $(WARN) -fPIC -fvisibility=hidden $(CFLAGS) -MMD -MP

# One line per ISA: the same units, compiled at that ISA's own vector width.
ISAS         := ref sse41 avx2 avx2vaes avx512
ISA_ref      := -DFZ_ISA=ref -DFZ_VBYTES=16 -O2
ISA_sse41    := -DFZ_ISA=sse41 -DFZ_VBYTES=16 -msse4.1 -maes
ISA_avx2     := -DFZ_ISA=avx2 -DFZ_VBYTES=32 -mavx2 -mfma -maes
ISA_avx2vaes := -DFZ_ISA=avx2vaes -DFZ_VBYTES=32 -mavx2 -mfma -maes -mvaes
ISA_avx512   := -DFZ_ISA=avx512 -DFZ_VBYTES=64 -mavx2 -mfma -maes -mvaes -mavx512f \
                -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512

PRISM_SRC   := $(wildcard prism/*.c)
KERNELS_SRC := $(wildcard kernels/*.c)
# What needs Zydis is a program of its own, fuzzytorch-plan.
INST_SRC    := $(addprefix shim/rewrite/,cache.c definition.c map.c prune.c runtime.c \
               shown.c signals.c)
PLAN_SRC    := $(filter-out $(INST_SRC),$(wildcard shim/rewrite/*.c))
SHIM_SRC    := $(wildcard shim/*.c) shim/rewrite/constants.c $(INST_SRC)
PER_ISA     := $(wildcard prism/isa*.c) $(wildcard kernels/isa*.c)
PLAIN       := $(filter-out $(PER_ISA),$(PRISM_SRC) $(KERNELS_SRC) $(SHIM_SRC))

obj_plain = $(patsubst %.c,$(B)/%.o,$(filter-out $(PER_ISA),$(1)))
obj_isa   = $(foreach i,$(ISAS),$(patsubst %.c,$(B)/%.$(i).o,$(filter $(PER_ISA),$(1))))
PRISM_OBJ   := $(call obj_plain,$(PRISM_SRC)) $(call obj_isa,$(PRISM_SRC))
KERNELS_OBJ := $(call obj_plain,$(KERNELS_SRC)) $(call obj_isa,$(KERNELS_SRC))
SHIM_OBJ    := $(call obj_plain,$(SHIM_SRC))
PLAN_OBJ    := $(call obj_plain,$(PLAN_SRC))

.PHONY: all clean
all: $(B)/libprism.a $(B)/libfuzzytorch.so $(B)/fuzzytorch-plan

$(B)/libprism.a: $(PRISM_OBJ)
	rm -f $@ && $(AR) rcs $@ $^

$(B)/libfzkernels.a: $(PRISM_OBJ) $(KERNELS_OBJ)
	rm -f $@ && $(AR) rcs $@ $^

# The exceptions of torch's C++ pass through these wrappers.
$(B)/shim/conv.o $(B)/shim/plain.o $(B)/shim/rewrite/signals.o: ALL_CFLAGS += -fexceptions
$(B)/shim/compiling.o: shim/compiling.py
# Vectors in registers are these files' interface; who calls them has the registers.
$(B)/shim/math_sleef256.o: ALL_CFLAGS += -mavx
$(B)/shim/math_sleef512.o: ALL_CFLAGS += -mavx512f

$(B)/libfuzzytorch.so: $(PRISM_OBJ) $(KERNELS_OBJ) $(SHIM_OBJ) shim/exports.map
	$(CC) -shared -Wl,-z,defs -Wl,-z,now -Wl,--version-script=shim/exports.map \
	    -Wl,-soname,libfuzzytorch.so -o $@ $(filter %.o,$^) -ldl -lpthread -lm

$(B)/fuzzytorch-plan: $(PLAN_OBJ)
	$(CC) -o $@ $^ -lZydis -lpthread

define isa_rule
$(B)/%.$(1).o: %.c
	@mkdir -p $$(@D)
	$(CC) $(ALL_CFLAGS) $(ISA_$(1)) -c -o $$@ $$<
endef
$(foreach i,$(ISAS),$(eval $(call isa_rule,$(i))))

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

clean:
	rm -rf $(B)

-include $(shell find $(B) -name '*.d' 2>/dev/null)

include targets.mk
