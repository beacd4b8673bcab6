# lashstore. `make` lists the targets. Running and testing need Go and git only;
# lint and fmt build their tools from tools/go.mod the first time (a few minutes).

GO        ?= go
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
TESTFLAGS ?=
FUZZTIME  ?= 10s
CHECKS    ?= 1000
BENCH     ?= .
BENCHTIME ?= 1s
COUNT     ?= 1

# Pure Go: no C compiler is needed. The race detector is the exception.
export CGO_ENABLED ?= 0

TOOL   = $(GO) tool -modfile=tools/go.mod
GOTEST = $(GO) run ./internal/ci/gotest

.DEFAULT_GOAL := help
.PHONY: help run build test race integration fuzz prop bench lint fmt generate verify check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## a guided tour of the store on a temporary directory
	$(GO) run ./cmd/lashstore demo

build: ## build the commands into bin/
	$(GO) build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/ ./cmd/...

test: ## go vet and all tests that need no server (TESTFLAGS=)
	$(GO) vet ./...
	$(GOTEST) $(TESTFLAGS) ./...

race: ## all tests under the race detector; needs a C compiler
	@command -v "$$($(GO) env CC)" >/dev/null || { \
	  echo "make race: the race detector needs cgo, and no C compiler ($$($(GO) env CC)) was found." >&2; \
	  echo "Install gcc or clang, or name one with CC=." >&2; exit 1; }
	CGO_ENABLED=1 $(GOTEST) -race -timeout 20m $(TESTFLAGS) ./...

integration: ## end-to-end tests; a service that is missing is a failure
	LASHSTORE_CI=1 $(GOTEST) -count=1 -timeout 20m $(TESTFLAGS) ./integration/...

fuzz: ## every fuzz target for FUZZTIME each (10s)
	@FUZZTIME='$(FUZZTIME)' internal/ci/fuzz.sh

prop: ## the property tests with CHECKS random cases each (1000)
	@CHECKS='$(CHECKS)' internal/ci/prop.sh

bench: SHELL := bash
bench: ## benchmarks to bench/out/latest.txt (BENCH= BENCHTIME= COUNT=)
	@mkdir -p bench/out
	@set -o pipefail; $(GO) test -run '^$$' -bench '$(BENCH)' -benchtime '$(BENCHTIME)' -count '$(COUNT)' \
	  -timeout 60m ./bench/... | tee bench/out/latest.txt

lint: ## golangci-lint, as pinned in tools/go.mod
	$(TOOL) golangci-lint run ./...

fmt: ## format the Go files
	$(TOOL) golangci-lint fmt ./...

generate: ## go generate
	$(GO) generate ./...

verify: ## generated files, go.mod and formatting are current
	@internal/ci/verify.sh

check: ## what CI runs
	@bash .ci/run

clean: ## remove what make built
	rm -rf bin bench/out
