# Everything one does with this repository, one word each. "make" lists them.

GO  ?= go
# make demo ARGS="--once --json"
ARGS ?=

# Revision in the binary, unless git is missing or refuses this checkout.
BUILDVCS := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo auto || echo false)

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help screenshots demo build test test-race test-short check format vet staticcheck tidy vulnerabilities bench-console bench-gate bench-people bench-portal bench-send test-faults fuzz clean

help: ## List these words
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# Only the program may write to stdout: with --json that is the books.
demo: ## From a legacy export to mails in an inbox, on this machine (ARGS="--once --json")
	@script/install-deps demo >&2
	@$(MAKE) build >&2
	@exec bin/jatak demo $(ARGS)

build: ## Build bin/jatak, one static binary
	@CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=$(BUILDVCS) -o bin/jatak ./cmd/jatak

test: ## All tests, with real PostgreSQL, Redis, SMTP and browser; the race detector where neither browsers nor whole processes are at work
	@script/install-deps test >&2
	$(GO) test -shuffle=on -parallel=4 -timeout=14m ./cmd/jatak ./internal/console ./internal/preferences
	CGO_ENABLED=1 $(GO) test -race -short -shuffle=on -timeout=14m $$($(GO) list ./... | grep -v /cmd/jatak$$)

test-race: ## All tests with the race detector: a quarter of an hour and more
	@script/install-deps test >&2
	CGO_ENABLED=1 $(GO) test -race -shuffle=on -timeout=40m ./...

test-short: ## The quick tests, without the race detector
	$(GO) test -short ./...

test-faults: ## What dies, hangs and jumps, with real processes (part of "make test")
	@script/install-deps test >&2
	$(GO) test -count=1 -v -run '^TestFault' ./cmd/jatak ./worker

check: format vet staticcheck tidy build test vulnerabilities ## What must hold before every commit
	@echo "check: all is well"

format:
	@unformatted="$$(gofmt -l .)" || exit 1; \
	if [ -n "$$unformatted" ]; then \
		echo "not formatted (mend with: gofmt -w .):" >&2; echo "$$unformatted" >&2; exit 1; \
	fi

vet:
	$(GO) vet ./...

staticcheck:
	$(GO) tool staticcheck ./...

tidy:
	$(GO) mod tidy -diff

vulnerabilities:
	@script/check-vulnerabilities

bench-console: ## Every page of the console with a million contacts (ARGS="--contacts N --rounds N --json")
	@script/install-deps demo >&2
	@$(MAKE) build >&2
	@exec bin/jatak bench console $(ARGS)

bench-gate: ## Import, upgrade and gate report of a million contacts (ARGS="--contacts N --json")
	@script/install-deps demo >&2
	@$(MAKE) build >&2
	@exec bin/jatak bench gate $(ARGS)

bench-people: ## Search and count a million contacts (ARGS="--contacts N --json")
	@script/install-deps demo >&2
	@$(MAKE) build >&2
	@exec bin/jatak bench people $(ARGS)

bench-portal: ## One-click unsubscribes a second (ARGS="--contacts N --clients N --json")
	@script/install-deps demo >&2
	@$(MAKE) build >&2
	@exec bin/jatak bench portal $(ARGS)

bench-send: ## Mails a second against Postfix's own source (ARGS="--contacts N --connections N --json")
	@script/install-deps demo >&2
	@$(MAKE) build >&2
	@folder=$$(script/postfix-tools) && exec bin/jatak bench send --postfix $$folder $(ARGS)

fuzz: ## Each fuzz target for FUZZTIME (10s)
	@script/fuzz

screenshots: ## Make the pictures in docs/screenshots anew
	@script/screenshots

clean: ## Remove what was built
	rm -rf bin .cache
