# Everything here needs Go and what any Unix has, but where a target says what else. `make help` lists the targets.
GO ?= go
GOSEC = github.com/securego/gosec/v2/cmd/gosec@v2.29.0
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.8.0
# The release of Swagger UI, npm's swagger-ui-dist, that the explorer under /docs is, and where it is kept.
SWAGGER_UI = 5.35.0
SWAGGER_UI_FOLDER ?= server/docs/swaggerui
# Further flags for `go test`, such as -race.
TESTFLAGS ?=
# How long `make fuzz` gives each of its targets.
FUZZTIME ?= 1m
# How many requests `make schemathesis` invents for each operation, and from what seed.
EXAMPLES ?= 300
SEED ?= 1
SCHEMATHESIS = .ci/schemathesis
# How often `make scim` lets the judges test each engine.
SCIM_RUNS ?= 20
# benchstat has no releases.
BENCHSTAT = golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
# Further flags for `make bench` and `make growth`, such as --rounds 5; `go run ./server/bench run --help` lists them.
BENCHFLAGS ?=
# What `make compare` compares with, which benchmarks (a regular expression), of which packages, and how often it runs each.
BASE ?=
BENCH ?= Stage|Request
PACKAGES ?= ./server ./server/auth ./server/dialect ./server/worth ./server/testinium ./store
COUNT ?= 6
# How often `make crash` kills on each engine.
KILLS ?= 1000
# Which Python virtual environments are made with. Patroni's must be one that the user postgres can run.
PYTHON ?= python3
# How many writes `make repeat` makes on each engine.
REPEATS ?= 10000
# How many changes `make deliver` makes on each engine.
DELIVERIES ?= 100000
# How many calls and sequences `make trials` generates on each engine.
TRIALS ?= 10000
# How many users each vendor has in `make moving`.
MOVING_USERS ?= 10000
# For how many users of each vendor `make moving` measures memory.
MOVING_MANY ?= 200000
# How often `make failover` kills or freezes the primary.
FAILOVERS ?= 2

.PHONY: help run test partitioned distributed faults crash trials repeat deliver moving failover build generate generate-into docs check-generated swagger-ui check-swagger-ui lint sec vuln fuzz schemathesis scim bench growth searches provisioning lag copy results microbench compare allocations typescript python webhooks ogen java keycloak lint-openapi breaking release-documents gates check

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-17s %s\n", $$1, $$2}'

run: ## Start the embedded server with an invented directory, and print calls to paste
	$(GO) run . serve --dev

test: ## Run every test; with TEST_POSTGRES_DSN set, on Postgres as well
	@test -n "$$TEST_POSTGRES_DSN" || echo "TEST_POSTGRES_DSN is not set: the tests skip Postgres"
	@test "$$CI" = true -o -n "$$FAULTS" || echo "FAULTS is not set: the tests cause no faults"
	@test -n "$$KEYCLOAK" || echo "KEYCLOAK is not set: the tests use no real identity provider, make keycloak does"
	$(GO) test $(TESTFLAGS) ./...

partitioned: ## Run the store's tests on a Postgres whose tables are partitioned by customer
	TEST_PARTITIONED=1 $(GO) test -count=1 $(TESTFLAGS) -skip '/sqlite|SQLite' ./store ./store/userfile

distributed: ## Run the store's and the server's tests on the Citus cluster of TEST_CITUS_DSN, which takes some 20 minutes
	@test -n "$$TEST_CITUS_DSN" || { echo "TEST_CITUS_DSN is not set" >&2; exit 1; }
	TEST_DISTRIBUTED=1 $(GO) test -count=1 -p 1 -timeout 60m $(TESTFLAGS) -skip '/sqlite|SQLite' ./store ./store/userfile ./server

faults: ## Cause every fault that the server is to survive: of the database, the disk, the network, the program itself
	FAULTS=1 $(GO) test -count=1 $(TESTFLAGS) ./server/faulttest

crash: ## Kill the program and Postgres, KILLS times on each engine, while clients write, and look for what is lost
	FAULTS=1 KILLS=$(KILLS) $(GO) test -count=1 -v -timeout 3h -parallel 2 -run 'Crash|Rolling' ./server/faulttest

repeat: ## Repeat REPEATS writes on each engine under Idempotency-Keys, through proxies that cut connections, with kills, and look for what is done twice
	FAULTS=1 REPEATS=$(REPEATS) $(GO) test -count=1 -v -timeout 3h -parallel 2 -run TestRepeat ./server/faulttest

deliver: ## Make DELIVERIES changes and erasures on each engine, kill the server and the receiver of a webhook, and compare copies that are kept by the feed and by webhooks
	FAULTS=1 DELIVERIES=$(DELIVERIES) $(GO) test -count=1 -v -timeout 3h -parallel 2 -run TestDeliver ./server/faulttest

trials: ## Generate TRIALS calls, each made as a dry run and then really, and TRIALS sequences of concurrent updates that are merged, on each engine
	TRIALS=$(TRIALS) $(GO) test -count=1 -v -timeout 2h $(TESTFLAGS) -run 'DryRunEqualsRealCall|MergeLaws' ./server

moving: ## Move MOVING_USERS users from each of two fake vendors, compare, shadow them by dragoman shadow under 200 requests a second, a twentieth of them writes, for a minute, find planted differences, and measure memory with MOVING_MANY; on a machine that does nothing else
	MOVING_USERS=$(MOVING_USERS) TRIALS=1 $(GO) test -count=1 -v -timeout 2h -p 1 -parallel 1 $(TESTFLAGS) ./server/moving/...
	MOVING_MANY=$(MOVING_MANY) $(GO) test -count=1 -v -timeout 2h $(TESTFLAGS) -run MovingMemory ./server/cli

failover: .ci/patroni/venv/made ## Kill and freeze a primary of Patroni, FAILOVERS times, while clients write, and look for what is lost; needs etcd, HAProxy and Python 3
	FAULTS=1 FAILOVERS=$(FAILOVERS) $(GO) test -count=1 -v -timeout 3h -run 'PatroniFailover' ./server/faulttest

# What a release says of itself: make build VERSION=1.2.0. What is not said, Go notes down by itself where there is a git
# repository.
VERSION ?=
COMMIT ?=
DATE ?=
LDFLAGS = -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)

build: ## Build the program into ./dragoman
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o dragoman .

# openapi/worthapi.cfg.yaml makes gen/worthapi/worthapi.gen.go of openapi/worth.yaml, and so on. gen/documents has the
# documents themselves, overlaid; clients are made of these. Tests stay, such as the clients' examples: they are written by
# hand.
#
# The toy is the dialect that tests add to the others.
TOY = server/servertest/toy
generate: ## Make gen/ anew from openapi/
	@set -e; fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(MAKE) --no-print-directory generate-into INTO="$$fresh"; \
	mkdir -p gen; \
	find gen -type f ! -name '*_test.go' -delete; \
	find gen -mindepth 1 -type d -empty -delete; \
	cp -R "$$fresh/gen/." gen; \
	rm -rf $(TOY)/gen; \
	cp -R "$$fresh/toy" $(TOY)/gen

# generate replaces what there is only when all is made. A mistake in a document leaves gen/ as it was, so that the program
# still builds.
generate-into:
	$(GO) run ./server/docs/generator openapi "$(INTO)/gen/documents"
	@set -e; for config in openapi/*.cfg.yaml; do \
		package=$$(basename "$$config" .cfg.yaml); \
		case $$package in \
			*client) document="$(INTO)/gen/documents/$${package%client}.yaml" ;; \
			*) document=openapi/$${package%api}.yaml ;; \
		esac; \
		mkdir -p "$(INTO)/gen/$$package"; \
		(set -x; $(GO) run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen \
			--config "$$config" -o "$(INTO)/gen/$$package/$$package.gen.go" "$$document"); \
	done
	mkdir -p "$(INTO)/toy/toyapi"
	$(GO) run ./server/docs/generator $(TOY)/openapi "$(INTO)/toy/documents"
	$(GO) run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen --config $(TOY)/openapi/toyapi.cfg.yaml \
		-o "$(INTO)/toy/toyapi/toyapi.gen.go" $(TOY)/openapi/toy.yaml

docs: ## Make the parts of server/FIELDS.md, of the guide and of README that are made from the code
	UPDATE_DOCS=1 $(GO) test -count=1 -run '^TestGenerated' $(GENERATED_DOCS)

# The packages with tests that compare parts of the documentation with the code.
GENERATED_DOCS = ./server/cli ./server/metrics ./server/conformance ./server/description

check-generated: ## Fail when gen/, or a part of FIELDS.md or of the guide, is not what it is made from
	$(GO) test -count=1 -run '^TestGenerated' $(GENERATED_DOCS)
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(MAKE) --no-print-directory generate-into INTO="$$fresh" && \
	{ diff -rq -x '*_test.go' gen "$$fresh/gen" && diff -rq $(TOY)/gen "$$fresh/toy" || { echo "gen/ is not what openapi/ yields: run make generate" >&2; exit 1; }; }

# What is large is kept compressed, as browsers take it.
swagger-ui: ## Take the explorer's files anew from npm
	@set -ex; work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; \
	tar -C "$$work" -xzf "$$work/$$(npm pack --silent --pack-destination "$$work" swagger-ui-dist@$(SWAGGER_UI))"; \
	rm -rf "$(SWAGGER_UI_FOLDER)"; mkdir -p "$(SWAGGER_UI_FOLDER)"; \
	for file in swagger-ui-bundle.js swagger-ui.css; do \
		gzip -9n <"$$work/package/$$file" >"$(SWAGGER_UI_FOLDER)/$$file.gz"; \
	done; \
	cp "$$work"/package/LICENSE "$$work"/package/NOTICE "$$work"/package/swagger-ui-bundle.js.LICENSE.txt "$(SWAGGER_UI_FOLDER)"

check-swagger-ui: ## Fail when the explorer's files are not those of npm's package
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(MAKE) --no-print-directory swagger-ui SWAGGER_UI_FOLDER="$$fresh/ours" && cp -R $(SWAGGER_UI_FOLDER) "$$fresh/kept" && \
	gunzip "$$fresh"/*/*.gz && { diff -rq "$$fresh/kept" "$$fresh/ours" || \
	{ echo "$(SWAGGER_UI_FOLDER) is not swagger-ui-dist $(SWAGGER_UI): run make swagger-ui" >&2; exit 1; }; }

lint: ## gofmt, vet, staticcheck, and the length of entries in DECISIONS.md
	@awk '!length { n = 0 } length && ++n > 10 { print FILENAME ":" FNR ": an entry has more than ten lines"; exit 1 }' DECISIONS.md
	@unformatted=$$(gofmt -l .) && \
	{ test -z "$$unformatted" || { echo "not as gofmt has them:" $$unformatted >&2; exit 1; }; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck ./...

# Generated code is the generator's to mend.
sec: ## gosec: look for what makes code insecure
	$(GO) run $(GOSEC) -quiet -exclude-generated ./...

vuln: ## govulncheck: look for known vulnerabilities; needs https://vuln.go.dev
	$(GO) run $(GOVULNCHECK) ./...

fuzz: ## Run every fuzz target, one after another, for FUZZTIME each
	@set -e; found=$$($(GO) test -list '^Fuzz' ./...); \
	printf '%s\n' "$$found" | awk '/^Fuzz/ { name[n++] = $$1 } /^ok/ { while (n) print $$2, name[--n] }' | \
	while read -r package name; do \
		(set -x; $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5s "$$package" </dev/null); \
	done

# The server names its documents itself; .ci/schemathesis/rules.py tells what they cannot say.
schemathesis: build $(SCHEMATHESIS)/venv/made ## Hold a running server against its documents; with TEST_POSTGRES_DSN set, on Postgres as well. EXAMPLES and SEED say with what
	$(SCHEMATHESIS)/venv/bin/python $(SCHEMATHESIS)/gate.py --examples $(EXAMPLES) --seed $(SEED)

scim: .ci/scim/venv/made ## Let public judges of SCIM servers test the server, SCIM_RUNS times on each engine; with TEST_POSTGRES_DSN set, on Postgres as well
	SCIM_JUDGES=$(CURDIR)/.ci/scim/venv/bin SCIM_RUNS=$(SCIM_RUNS) $(GO) test -count=1 -timeout 30m -v -run '^TestJudges$$' ./server/scim >.ci/scim/venv/log || { cat .ci/scim/venv/log; exit 1; }
	@grep '^ *--- PASS: TestJudges' .ci/scim/venv/log # a test that is skipped, or of another name, is no success

.ci/%/venv/made: .ci/%/requirements.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

# The results name the commit, also where Go was told not to note it down.
bench growth searches results: COMMIT = $(shell git describe --always --dirty --abbrev=12 --exclude '*' 2>/dev/null)

bench: build ## Measure the server beside pgbench and a floor written by hand; needs TEST_POSTGRES_DSN, wrk, pgbench and Linux
	$(GO) run ./server/bench --program ./dragoman $(BENCHFLAGS)

growth: build ## Measure directories of 10,000 users and of a million beside each other; needs what bench needs
	$(GO) run ./server/bench growth --program ./dragoman $(BENCHFLAGS)

searches: build ## Measure searches among 10,000 users and among a million; needs what bench needs
	$(GO) run ./server/bench growth --program ./dragoman --only search $(BENCHFLAGS)

provisioning: build ## Measure an identity provider's 25 requests a second, alone and beside the load of another customer; needs what bench needs
	$(GO) run ./server/bench provisioning --program ./dragoman --rounds 5 --duration 10s $(BENCHFLAGS)

lag: build ## Measure how soon 100 changes a second reach 10 webhooks, and what deliveries cost writers at full load; needs what bench needs
	$(GO) run ./server/bench webhooks --program ./dragoman --rounds 5 --duration 5s $(BENCHFLAGS)

copy: ## Copy 100,000 users with history from each engine to the other and back, and compare; needs TEST_POSTGRES_DSN
	COPY_USERS=100000 $(GO) test -count=1 -timeout 1h -run 'TestCopy$$' ./store

results: build ## Run bench and growth, and write their tables into server/bench/RESULTS.md and server/docs/guide/performance.md
	$(GO) run ./server/bench --program ./dragoman --write $(BENCHFLAGS)
	$(GO) run ./server/bench growth --program ./dragoman --write $(BENCHFLAGS)

microbench: ## Run every Go benchmark; with TEST_POSTGRES_DSN set, on Postgres as well. BENCH_USERS says with how many users
	$(GO) test -run '^$$' -bench . -benchmem ./...

# Both commits' benchmarks run in turn, so that a machine which grows slower is slower to both.
compare: ## Run the Go benchmarks of this tree and of the commit BASE, and compare them: make compare BASE=main BENCH=StageStore
	@test -n "$(BASE)" || { echo "Say what to compare with: make compare BASE=main" >&2; exit 1; }
	@set -e; work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; here=$$PWD; \
	mkdir "$$work/base" "$$work/programs"; \
	git archive --output "$$work/base.tar" "$(BASE)"; tar -xf "$$work/base.tar" -C "$$work/base"; \
	for package in $(PACKAGES); do \
		name=$$(echo "$$package" | tr -c 'a-z0-9\n' _); \
		if [ -d "$$work/base/$$package" ]; then (cd "$$work/base" && $(GO) test -c -o "$$work/programs/base$$name" "$$package"); fi; \
		$(GO) test -c -o "$$work/programs/this$$name" "$$package"; \
	done; \
	for round in $$(seq $(COUNT)); do for package in $(PACKAGES); do for tree in base this; do \
		program=$$work/programs/$$tree$$(echo "$$package" | tr -c 'a-z0-9\n' _); \
		folder=$$here; [ $$tree = this ] || folder=$$work/base; \
		[ -x "$$program" ] || continue; \
		echo "round $$round of $(COUNT): $$package, $$tree" >&2; \
		(cd "$$folder/$$package" && "$$program" -test.run '^$$' -test.bench '$(BENCH)' -test.benchmem) >>"$$work/$$tree.txt" || \
			{ tail -n 20 "$$work/$$tree.txt" >&2; exit 1; }; \
	done; done; done; \
	cd "$$work" && $(GO) run $(BENCHSTAT) "$(BASE)=base.txt" "this tree=this.txt"

allocations: ## Record how often each kind of request allocates memory; needs TEST_POSTGRES_DSN
	RECORD_ALLOCATIONS=1 $(GO) test -count=1 -run Allocations ./server

typescript: ## Make TypeScript clients and Zod schemas of the served documents, and run them against the server, through a checking proxy too; needs Node.js 20 with npm
	GO="$(GO)" .ci/typescript/run

python: .ci/python/venv/made ## Make Python clients of the served documents and run them against the server; needs Python 3.11
	GO="$(GO)" .ci/python/run

webhooks: .ci/webhooks/venv/made ## Verify deliveries with the libraries of Standard Webhooks for Python and JavaScript; needs Python 3 and Node.js 20
	GO="$(GO)" .ci/webhooks/run

ogen: ## Make ogen's Go clients of the documents and run them against the server
	GO="$(GO)" .ci/ogen/run

java: ## Make Java clients of the served documents and run them against the server; needs a JDK 17 and Maven
	GO="$(GO)" .ci/java/run

keycloak: ## Start a Keycloak, make a realm in it, and use its tokens, changed roles and rotated keys; needs a JDK 17 and Maven
	GO="$(GO)" .ci/keycloak/run

lint-openapi: ## Redocly and Spectral: look for what is wrong or missing in the documents; needs Node.js 20 with npm
	@command -v npm >/dev/null || { echo "This needs Node.js 20 or later with npm." >&2; exit 1; }
	cd .ci/redocly && npm ci --no-progress && npm run --silent lint

breaking: ## Fail when a document breaks clients of the last release, or of the vendor's own, and nobody has said so
	$(GO) -C .ci/breaking run . ../..

release-documents: ## At a release: make today's documents the ones that later changes are held against
	rm -rf openapi/released
	mkdir openapi/released
	cp gen/documents/*.yaml openapi/released/

gates: lint-openapi ## Plant faults in documents and see that breaking and lint-openapi find each; needs Node.js 20 with npm
	cd .ci/redocly && npm run --silent test
	$(GO) -C .ci/breaking vet .
	$(GO) -C .ci/breaking test -count=1 .

check: lint sec check-generated breaking test ## lint, sec, check-generated, breaking and test
