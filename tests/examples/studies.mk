# The studies of examples/: their packages, their results, the tables made of these.
# SPDX-License-Identifier: Apache-2.0
#
# make studies-setup once; make studies then does all, one after the other (the pages say how
# long each took). STUDIES picks some; STUDY_OPTIONS goes to each (-n 5; -j 2: samples at a time;
# --rounds 3; --times: measure times anew only).

PY_STUDIES    ?= .venv-studies/bin/python
STUDIES       ?= harmonic digits speech mri scale
STUDY_OPTIONS ?=

.PHONY: studies-setup studies studies-times studies-peers studies-tables $(STUDIES:%=study-%)

studies-setup: $(B)/libfuzzytorch.so $(B)/fuzzytorch-plan
	python3 -m venv .venv-studies
	.venv-studies/bin/pip install -q -r examples/requirements.txt

studies: $(STUDIES:%=study-%) studies-peers studies-tables

studies-times:
	@$(MAKE) --no-print-directory studies STUDY_OPTIONS="--times $(STUDY_OPTIONS)"

# One after the other: they are timed.
$(STUDIES:%=study-%): study-%: $(B)/libfuzzytorch.so $(B)/fuzzytorch-plan
	FUZZYRUN_LIB=$(abspath $(B))/libfuzzytorch.so \
	    $(PY_STUDIES) examples/$*/study.py $(STUDY_OPTIONS)

studies-peers:
	@$(MAKE) --no-print-directory bench-peers PY_WHEEL=$(PY_STUDIES)

studies-tables:
	@python3 examples/tables.py
