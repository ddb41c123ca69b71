# Attune: one binary, no service to install. `make demo` shows it, `make test` proves it, `make check` is the inner loop.
SHELL      := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

TOOLS  := $(CURDIR)/.tools
GO     ?= go
export GOFLAGS := -buildvcs=false

GOFUMPT       := $(TOOLS)/gofumpt-v0.12.0
GOLANGCI      := $(TOOLS)/golangci-lint-v2.15.0
GOVULNCHECK   := $(TOOLS)/govulncheck-v1.8.0
GO_FILES       = $(shell git ls-files '*.go' ':!:bench/*')

.PHONY: help build demo test check lint vet fmt vuln bench soak e2e-deps clean

help: ## say what each target does
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s $$'\t'

build: ## build bin/attune
	@echo "== building bin/attune"
	@$(GO) build -trimpath -buildvcs=$$(git rev-parse HEAD >/dev/null 2>&1 && echo true || echo false) -o bin/attune ./cmd/attune

demo: build ## start a gift shop on real data and print its address
	@bin/attune demo $(DEMO_FLAGS)

check: vet ## the quick inner loop: format, vet, unit tests
	@echo "== tests (no browser, no race detector)"
	@$(GO) test $$($(GO) list ./... | grep -v /e2e)

test: e2e-deps vet lint vuln ## everything: lint, unit, race, crash, real SDKs, a real browser
	@echo "== the browser SDK's own tests (node --test, Chromium)"
	@out=$$(cd sdk/js && npm test --silent 2>&1) || { echo "$$out"; exit 1; }; echo "$$out" | grep -E '# (SKIP|tests|pass|fail|skipped) ?' || { echo "$$out"; exit 1; }
	@echo "== go test -race ./... (unit, conformance, crash, SDK and browser tests)"
	@$(GO) test -race -timeout 30m ./...
	@echo "== the whole of Online Retail, imported twice and searched (not under the race detector: minutes)"
	@$(GO) test -count=1 -v -run '(TestOnlineRetail|TestSearchIsPersonal)/whole' ./node | { grep -v '^=== ' || true; }
	@echo "== a search server (ATTUNE_ELASTIC is its address)"
	@$(GO) test -count=1 -v -run 'TestConformance|TestSearchOnServer' ./search/elastic ./node | { grep -v '^=== ' || true; }
	@echo "== the benchmark's own module"
	@cd bench && $(GO) vet ./... && $(GO) test ./...

vet: fmt ## go vet
	@echo "== go vet"
	@$(GO) vet ./...

fmt: $(GOFUMPT) ## fail if a file is not formatted
	@echo "== gofumpt"
	@bad=$$($(GOFUMPT) -l $(GO_FILES)); if [ -n "$$bad" ]; then echo "not formatted (run: $(GOFUMPT) -w FILE):"; echo "$$bad"; exit 1; fi

lint: $(GOLANGCI) ## golangci-lint with the house rules
	@echo "== golangci-lint"
	@$(GOLANGCI) run ./...

vuln: $(GOVULNCHECK) ## known vulnerabilities, where the database can be reached
	@echo "== govulncheck"
	@out=$$($(GOVULNCHECK) ./... 2>&1) && echo "$$out" | tail -3 || { \
	  if echo "$$out" | grep -qE 'dial tcp|no such host|lookup |connection refused|Forbidden|fetching vulnerabilities|i/o timeout'; then \
	    echo "!! SKIPPED: the vulnerability database cannot be reached from this machine"; \
	  else echo "$$out"; exit 1; fi; }

e2e-deps: ## install what the browser and SDK tests need (Debian, npm)
	@e2e/install.sh

bench: build ## the macro benchmark: prints one table
	@bench/run.sh

soak: ## the long crash test: kill -9 under load, many rounds; leaves a record in bench/out
	@m=$${SOAK_MINUTES:-20}; out=bench/out/soak-$$(date -u +%Y%m%dT%H%M%SZ).txt; mkdir -p bench/out; \
	  echo "== soak (about $$m minutes of kills under load, then the journal and the profiles alone); record: $$out"; \
	  { echo "make soak, SOAK_MINUTES=$$m, $$(date -u +%FT%TZ), commit $$(git describe --always --dirty 2>/dev/null || echo unknown), $$(nproc) cores"; \
	    ATTUNE_SOAK=$$m $(GO) test -count=1 -timeout $$((6*m+30))m -v -run 'Crash|Kill' ./node; \
	    ATTUNE_SOAK=$$((60*m+8)) $(GO) test -count=1 -timeout $$((6*m+30))m -v -run 'Crash|Kill' ./journal/disk; \
	    $(GO) test -count=1 -v -run 'Crash|Kill' ./profile/disk; \
	    echo "ended $$(date -u +%FT%TZ)"; } 2>&1 | tee "$$out"

clean: ## remove what the build made
	@rm -rf bin dist .tools e2e/node_modules

$(GOFUMPT):
	@echo "== installing gofumpt"; mkdir -p $(TOOLS); GOBIN=$(TOOLS) $(GO) install mvdan.cc/gofumpt@v0.12.0; mv $(TOOLS)/gofumpt $@
$(GOLANGCI):
	@echo "== installing golangci-lint (a few minutes, once)"; mkdir -p $(TOOLS); GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0; mv $(TOOLS)/golangci-lint $@
$(GOVULNCHECK):
	@echo "== installing govulncheck"; mkdir -p $(TOOLS); GOBIN=$(TOOLS) $(GO) install golang.org/x/vuln/cmd/govulncheck@v1.8.0; mv $(TOOLS)/govulncheck $@
