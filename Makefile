# lashstore. `make` lists the targets. Running and testing need Go and git only;
# lint and fmt build their tools from tools/go.mod the first time (a few minutes).

GO        ?= go
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
TESTFLAGS ?=
FUZZ      ?= ^Fuzz
FUZZTIME  ?= 10s
CHECKS    ?= 1000
HISTORIES ?= 10000
HOURS     ?= 4
BENCH     ?= .
BENCHTIME ?= 1s
COUNT     ?= 1

# S3 servers for tests and development (localstack/README.md).
SERVER     ?= minio
S3_PORT    ?= 9000
S3_DIR     ?= .localstack
S3_SERVERS ?= minio,versitygw,localstack

# Pure Go: no C compiler is needed. The race detector is the exception.
export CGO_ENABLED ?= 0

TOOL   = $(GO) tool -modfile=tools/go.mod
GOTEST = $(GO) run ./internal/ci/gotest
S3SERVER = .tools/s3server

.DEFAULT_GOAL := help
.PHONY: help run build test race integration s3 s3-stop s3-env s3-install s3-test s3-program fuzz prop simulate simulate-long bench lint fmt generate verify check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## a guided tour of the store on a temporary directory
	$(GO) run ./cmd/lashstore demo

build: ## build the commands into bin/
	$(GO) build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/ ./cmd/...

test: ## go vet and all tests that need no server (TESTFLAGS=)
	$(GO) vet ./...
	$(GOTEST) $(TESTFLAGS) ./...

# Tests that count bytes, by one goroutine or with nothing shared, and take minutes
# under the race detector.
RACE_SKIP = ^Test(SegmentsAreBounded|AnyChangedByteOfASegmentIsFound|SmallEditStoresLittle|CopyForwardBoundsSpace|ScatteredEditsStoreLittle|OddPredecessors|NoCopyForwardWithHistory|S3Conformance)

race: ## the tests under the race detector, but for RACE_SKIP; needs a C compiler
	@command -v "$$($(GO) env CC)" >/dev/null || { \
	  echo "make race: the race detector needs cgo, and no C compiler ($$($(GO) env CC)) was found." >&2; \
	  echo "Install gcc or clang, or name one with CC=." >&2; exit 1; }
	CGO_ENABLED=1 $(GOTEST) -race -short -skip '$(RACE_SKIP)' -timeout 20m $(TESTFLAGS) ./...

integration: s3-program ## end-to-end tests, with S3 servers of their own (S3_SERVERS=)
	LASHSTORE_CI=1 $(S3SERVER) exec -go '$(GO)' -servers '$(S3_SERVERS)' -- \
	  $(GOTEST) -count=1 -timeout 25m $(TESTFLAGS) ./integration/...

s3: s3-program ## start an S3 server, once built (SERVER= S3_PORT= S3_DIR=)
	@$(S3SERVER) start -go '$(GO)' -server '$(SERVER)' -dir '$(S3_DIR)' -port '$(S3_PORT)'

s3-stop: s3-program ## stop all S3 servers below S3_DIR
	@$(S3SERVER) stop -dir '$(S3_DIR)'

s3-env: s3-program ## how to use the S3 server: eval "$(make -s s3-env)"
	@$(S3SERVER) env -server '$(SERVER)' -dir '$(S3_DIR)'

s3-install: s3-program ## build S3_SERVERS, so that nothing waits for it later
	@$(S3SERVER) install -go '$(GO)' -servers '$(S3_SERVERS)'

s3-test: ## vet, lint and test the programs in localstack/
	cd localstack && $(GO) mod tidy -diff && $(GO) vet ./...
	cd localstack && $(GO) tool -modfile=../tools/go.mod golangci-lint run ./...
	$(GO) build -o .tools/gotest ./internal/ci/gotest
	cd localstack && ../.tools/gotest $(TESTFLAGS) ./...

s3-program:
	@mkdir -p .tools
	@$(GO) build -C localstack -o ../$(S3SERVER) ./cmd/s3server

fuzz: ## every fuzz target for FUZZTIME each (10s; FUZZ= for some)
	@FUZZ='$(FUZZ)' FUZZTIME='$(FUZZTIME)' internal/ci/fuzz.sh

prop: ## the property tests with CHECKS random cases each (1000)
	@CHECKS='$(CHECKS)' internal/ci/prop.sh

simulate: ## HISTORIES random interleavings of the real code (10000), and the planted bugs
	@HISTORIES='$(HISTORIES)' internal/ci/simulate.sh

simulate-long: ## random interleavings for HOURS hours (4)
	@HOURS='$(HOURS)' internal/ci/simulate.sh

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
