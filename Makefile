# Everything a newcomer needs: `make run` to see it, `make test` to trust it.

.DEFAULT_GOAL := help

BINARIES := node invalidator warmer tercet

# make run INPUT=path reads a real trace instead of the shop that ships with
# the project; KEEP=1 leaves the fleet up; ARGS passes flags on (ARGS=--json).
INPUT ?=
KEEP  ?=
ARGS  ?=
RUN_FLAGS := $(if $(INPUT),--input '$(INPUT)') $(if $(filter-out 0,$(KEEP)),--keep) $(ARGS)

# How long each fuzz target runs, and for how many packages tests run at once:
# many of them start servers, so that more makes them slow rather than quick.
FUZZTIME ?= 10s
PARALLEL ?= 2

# make sim SEEDS=100000 FIRST=1: one seed is one run of a fleet.
SEEDS ?= 10000
FIRST ?= 1

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/node, bin/invalidator, bin/warmer and bin/tercet
	go build -o bin/ $(addprefix ./cmd/,$(BINARIES))

.PHONY: run
run: ## Start a fleet on this machine, feed it, sum up (INPUT=path KEEP=1 ARGS=--json)
	@go build -o bin/tercet ./cmd/tercet
	@bin/tercet trial $(RUN_FLAGS)

# The log ends with the test runner's own summary, a line for each package, and
# a line for the simulation's thousand seeds, which run without the race detector.
.PHONY: test
test: deps lint ## Fetch what tests need, lint, then run all tests with the race detector
	@if [ -f bench/go.mod ]; then cd bench && go vet ./... && go build -o /dev/null ./...; fi
	go test -race -p $(PARALLEL) -timeout 20m ./...
	go test ./test/sim

.PHONY: deps
deps:
	@tools/deps.sh

.PHONY: lint
lint: ## Check format, vet, staticcheck and the architecture's rules
	@unformatted=$$(git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "not gofmt'ed:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go tool -modfile=tools/go.mod staticcheck ./...
	go test ./internal/lint

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (10s) each
	@grep -rl --include='*_test.go' '^func Fuzz' internal pkg cmd test 2>/dev/null | xargs -r -n1 dirname | sort -u | while read -r dir; do \
		for target in $$(grep -rhoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' "$$dir"/*_test.go | cut -c6-); do \
			echo "$$dir $$target"; \
			go test "./$$dir" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) || exit 1; \
		done; \
	done

.PHONY: mutants
mutants: ## Take the protocol's remedies away one by one: a test must notice each (ARGS=-run=name)
	go run ./test/mutants $(ARGS)

.PHONY: sim
sim: ## Simulate SEEDS (10000) fleets in virtual time, from seed FIRST (1) on
	go test ./test/sim -count 1 -v -timeout 24h -run TestSeeds -seeds $(SEEDS) -first $(FIRST)

.PHONY: bench
bench: ## Measure our paths beside the raw libraries
	cd bench && go run . $(ARGS)

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin build
