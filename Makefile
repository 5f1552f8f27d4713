# Everything here needs Go and what any Unix has. `make help` lists the targets.
GO ?= go
# Where `make generate` writes.
GEN ?= gen
# Further flags for `go test`, such as -race.
TESTFLAGS ?=

.PHONY: help run test build generate docs check-generated lint check

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

run: ## Start the embedded server with an invented directory, and print calls to paste
	$(GO) run . serve --dev

test: ## Run every test; with TEST_POSTGRES_DSN set, on Postgres as well
	$(GO) test $(TESTFLAGS) ./...

build: ## Build the program into ./dragoman
	CGO_ENABLED=0 $(GO) build -trimpath -o dragoman .

# openapi/worthapi.cfg.yaml makes gen/worthapi/worthapi.gen.go of openapi/worth.yaml, and so on.
generate: ## Make gen/ anew from openapi/
	rm -rf "$(GEN)"
	@set -e; for config in openapi/*.cfg.yaml; do \
		package=$$(basename "$$config" .cfg.yaml); \
		document=$${package%client}; document=$${document%api}; \
		mkdir -p "$(GEN)/$$package"; \
		(set -x; $(GO) run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen \
			--config "$$config" -o "$(GEN)/$$package/$$package.gen.go" "openapi/$$document.yaml"); \
	done

docs: ## Make server/FIELDS.md anew from the tables in server/members
	$(GO) run ./server/members/fieldsmd > server/FIELDS.md.new
	mv server/FIELDS.md.new server/FIELDS.md

check-generated: ## Fail when gen/ is not what openapi/ yields
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(MAKE) --no-print-directory generate GEN="$$fresh/gen" && \
	{ diff -rq gen "$$fresh/gen" || { echo "gen/ is not what openapi/ yields: run make generate" >&2; exit 1; }; }

lint: ## gofmt, vet and staticcheck
	@unformatted=$$(gofmt -l .) && \
	{ test -z "$$unformatted" || { echo "not as gofmt has them:" $$unformatted >&2; exit 1; }; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck ./...

check: lint check-generated test ## All of the above that can fail
