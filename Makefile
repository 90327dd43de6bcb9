# Every verb of the project; `make help` lists them. The work is done in tools/.

# Settings, all of them for the command line.
BUILD = build
VARIANT = release
RELEASE =
PREFIX =
DESTDIR =
JOBS =
REGRTEST_ARGS =
PYTEST_ARGS =
PACKAGES_ARGS =
SUITES_ARGS =

PYTHON3 = python3
OPTIONS = --build '$(BUILD)' --variant '$(VARIANT)' \
	$(if $(RELEASE),--release '$(RELEASE)') $(if $(JOBS),--jobs '$(JOBS)')
# `$(call TOOL,verb)`: the tools make what must be there before the verb.
TOOL = $(PYTHON3) tools/make.py $(1) $(OPTIONS)
# Runs a command with the environment of the variant; {python} is what was built.
RUN = $(call TOOL,run) --

.PHONY: all
all: ## build python in build/$(VARIANT) (the default)
	@$(call TOOL,build)

.PHONY: demo
demo: all ## index every identifier of CPython's source with all cores
	@$(RUN) {python} examples/index_identifiers.py {pristine}

.PHONY: test
test: ## our tests: the stdlib test package, then pytest
	@$(call TOOL,venv)
	@$(RUN) {python} -W error -bb -m test -j2 -W test_subinterpreters
	@$(RUN) {venv}/bin/python -m pytest tests $(PYTEST_ARGS)

.PHONY: test-packages
test-packages: all ## a hundred packages with compiled code in interpreters (PACKAGES_ARGS=)
	@$(RUN) {python} tests/packages/run.py --venvs '$(BUILD)/packages/$(VARIANT)' \
		--json '$(BUILD)/packages/$(VARIANT)/results.json' $(PACKAGES_ARGS)

.PHONY: test-suites
test-suites: all ## packages' own tests in interpreters, in main and in stock (SUITES_ARGS=)
	@$(PYTHON3) tools/make.py build --build '$(BUILD)' --variant stock \
		$(if $(RELEASE),--release '$(RELEASE)') $(if $(JOBS),--jobs '$(JOBS)')
	@$(RUN) {python} tests/packages/suites.py --stock '$(BUILD)/stock/python' \
		--folder '$(BUILD)/suites/$(VARIANT)' $(SUITES_ARGS)

.PHONY: model
model: ## the whole models of channels and locks (needs spin)
	@$(PYTHON3) tests/model/check.py

.PHONY: regrtest
regrtest: all ## the whole stdlib suite, compared with stock's (VARIANT=stock records it)
	@$(PYTHON3) tools/regrtest.py --python '$(BUILD)/$(VARIANT)/python' \
		--build-dir '$(BUILD)/$(VARIANT)' $(if $(filter stock,$(VARIANT)),--renew) \
		$(REGRTEST_ARGS)

.PHONY: refresh
refresh: ## export build/src's commits and edits to patches/ and the overlay
	@$(call TOOL,refresh)

.PHONY: check
check: ## patches and overlay are in order for every release in upstream.toml
	@$(call TOOL,check)

.PHONY: check-releases
check-releases: check ## build and test with the other releases too
	@for release in $$($(call TOOL,releases)); do \
		$(MAKE) --no-print-directory BUILD='$(BUILD)'/$$release RELEASE=$$release all && \
		$(PYTHON3) tools/make.py run --build '$(BUILD)'/$$release --variant '$(VARIANT)' -- \
			{python} -W error -bb -m test -j2 -W test_subinterpreters || exit 1; \
	done

.PHONY: dist
dist: ## one combined patch and a source tarball in build/dist
	@$(call TOOL,dist)

.PHONY: install
install: ## install the build (PREFIX=/usr/local DESTDIR=)
	@$(call TOOL,install) $(if $(PREFIX),--prefix '$(PREFIX)') \
		$(if $(DESTDIR),--destdir '$(DESTDIR)')

.PHONY: bench
bench: all ## the benchmarks, each against its peers in one run
	@for program in $(filter-out benchmarks/plot.py,$(wildcard benchmarks/*.py)); do \
		$(RUN) {python} $$program || exit 1; done

.PHONY: bench-plot
bench-plot: all ## draw what `make bench` measured
	@$(call TOOL,venv) --for docs
	@for results in benchmarks/results/*.json; do \
		$(RUN) {docs_venv}/bin/python benchmarks/plot.py $$results || exit 1; done

.PHONY: docs
docs: all ## the documentation, in build/docs; its examples are run
	@$(call TOOL,venv) --for docs
	@$(RUN) {docs_venv}/bin/python -m sphinx -q -W --keep-going -b html Doc '$(BUILD)/docs'
	@$(RUN) {docs_venv}/bin/python -m sphinx -q -W --keep-going -b doctest Doc '$(BUILD)/docs/doctest'

.PHONY: clean
clean: ## remove build/$(VARIANT)
	rm -rf '$(BUILD)/$(VARIANT)'

.PHONY: distclean
distclean: ## remove the whole build folder, with work in build/src
	rm -rf '$(BUILD)'

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /make \1#/p' Makefile | \
		awk -F'#' '{ printf "%-20s %s\n", $$1, $$2 }'
	@$(PYTHON3) tools/make.py variants
