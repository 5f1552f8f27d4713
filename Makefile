# Everything here needs only Go. `make help` lists the targets.
GO ?= go
TESTFLAGS ?=

.PHONY: help run test build generate check-generated lint

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

run: ## Start the embedded server with an invented directory, and print calls to paste
	$(GO) run . serve --dev

test: ## Run every test; with TEST_POSTGRES_DSN set, on Postgres as well
	$(GO) test $(TESTFLAGS) ./...

build: ## Build the program into ./dragoman
	CGO_ENABLED=0 $(GO) build -trimpath -o dragoman .

generate: ## Make gen/ anew from openapi/
	rm -rf gen
	mkdir -p $(foreach p,worthapi worthclient testiniumapi testiniumclient,gen/$(p))
	$(GO) run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen --config openapi/worthapi.cfg.yaml openapi/worth.yaml
	$(GO) run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen --config openapi/worthclient.cfg.yaml openapi/worth.yaml
	$(GO) run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen --config openapi/testiniumapi.cfg.yaml openapi/testinium.yaml
	$(GO) run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen --config openapi/testiniumclient.cfg.yaml openapi/testinium.yaml

check-generated: ## Fail when gen/ is not what openapi/ yields
	$(MAKE) generate
	git diff --exit-code -- gen
	test -z "$$(git status --porcelain -- gen)"

lint: ## gofmt, vet and staticcheck
	test -z "$$(gofmt -l $$(git ls-files '*.go'))"
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck ./...
