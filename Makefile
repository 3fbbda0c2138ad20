# netbench: make help lists what there is.

GO        ?= go
BENCH     ?= .
TIME      ?= 1s
COUNT     ?= 3
PKGS      ?= ./models/goroutine ./models/reactor ./pools/... ./testenv/containers ./zerocopy ./zerocopy/files
MORE       = ./zerocopy/proxy ./zerocopy/vectored ./buffers ./gcprofile ./gcprofile/cache ./gcprofile/habits
RUNS      ?= results/runs
ROUNDS    ?= 12
MODELS    ?= all,recommended
MEASURING  = ^TestAnOpenLoopTellsOfAFreezeWhatAClosedLoopHides$$
NETBENCH   = bin/netbench
ABLATION   = reactor,reactor-level,reactor-own-buffers,reactor-one-read,reactor-hand-off,reactor-lock-thread,reactor-park
PLATFORMS  = linux/amd64 linux/arm64 darwin/arm64 freebsd/amd64 windows/amd64

.DEFAULT_GOAL := help
.PHONY: help build test test-race bench bench-all profile compare calibrate lint cross clean scale conformance long toolchain proof-generator proof-interleave-twins proof-interleave-slower race gate proof-gate proof-bisect proof-race proof-reactor proof-ablation proof-idle proof-memory proof-link proof-pool-http proof-pool-postgres proof-incident proof-pool-redis proof-strategies proof-services proof-zerocopy proof-proxy proof-vectored proof-buffers proof-cache proof-leaks proof-gc-settings proof-gc-recommend proof-before-after

help: ## list the targets
	@echo "netbench: a laboratory for Go network servers"
	@echo
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## /{printf "  make %-24s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "make bench: BENCH=$(BENCH) (regular expression) TIME=$(TIME) (measured each) COUNT=$(COUNT) (repetitions)"

build: ## build bin/netbench
	@$(GO) build -trimpath -o $(NETBENCH) ./cmd/netbench

# Most tests wait more than they compute, so one package more than CPUs is under way.
test: ## run all tests
	$(GO) test -p $$(($$(nproc) + 1)) ./...
	@echo "now what measures, while nothing else runs:"
	$(GO) test -tags measure -run '$(MEASURING)' ./load

test-race: ## run all tests under the race detector
	$(GO) test -race ./...

bench: build ## measure, print a table, keep the run in results/runs
	@$(GO) test -v -run '^$$' -bench '$(BENCH)' -benchtime $(TIME) -count $(COUNT) -timeout 60m $(PKGS) | $(NETBENCH) record -dir $(RUNS)

bench-all: PKGS += $(MORE)
bench-all: bench ## the same with the rooms whose benchmarks take longer: buffers, proxies, the collector

profile: BENCH = ^BenchmarkEcho/model=goroutine$$/conns=100$$/size=1024$$
profile: build ## take a server's profiles under load, beside a run in results/runs: BENCH
	@$(NETBENCH) profile -bench '$(BENCH)' -dir $(RUNS)

compare: build ## set two runs side by side: OLD=file NEW=file, else the last two
	@if [ "$(if $(OLD),1)" != "$(if $(NEW),1)" ]; then \
		echo "make compare: give both OLD=file and NEW=file, or neither for the last two runs" >&2; exit 2; fi
	@$(NETBENCH) compare -dir $(RUNS) $(OLD) $(NEW)

calibrate: build ## measure the generator beside a C client, and wrk if it is installed
	@$(NETBENCH) calibrate -rounds $(ROUNDS)

lint: ## check formatting, go vet, staticcheck
	@files=$$(gofmt -l .); test -z "$$files" || { echo "not formatted (gofmt -w):"; echo "$$files"; exit 1; }
	$(GO) vet -tags ci,measure,proof ./...
	$(GO) tool staticcheck -tags ci,measure,proof ./...

cross: ## build and vet for every platform
	@for p in $(PLATFORMS); do \
		echo "build and vet $$p"; \
		GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 $(GO) build ./... || exit 1; \
		GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 $(GO) vet ./... || exit 1; \
	done

clean: ## remove what was built; runs stay
	rm -rf bin
	$(GO) clean -testcache

race proof-race: ROUNDS = 6

race: build ## race all models at 100 x 64 B and 1000 x 1 KiB, saturated and paced, and their memory: MODELS, ROUNDS
	@$(NETBENCH) race -cells standard -models $(MODELS) -rounds $(ROUNDS) -memory -dir $(RUNS)

gate: build ## did the working tree become slower than BASE (a ref of git)? GATE=flags of netbench gate
	@if [ -z "$(BASE)" ]; then echo "make gate: give BASE=ref, for instance BASE=origin/main" >&2; exit 2; fi
	@$(NETBENCH) gate -base $(BASE) -waivers gate/waivers $(GATE)

scale: ## tier ci: 15,000 connections in one process, 60,000 over several; memory of idle ones; uploads and slow readers
	$(GO) test -tags ci -count=1 -v -run '^TestScale' ./models/goroutine ./models/memory ./zerocopy/files

conformance: ## tier ci: variants of the models, and the peers, by all rules of models
	$(GO) test -tags ci -count=1 -run '^TestConformanceOfVariants' ./models/goroutine ./models/reactor ./models/reuseport
	cd models/peers/engines && $(GO) vet ./... && $(GO) test -count=1 ./...

long: ## tier ci: tests that wait too long for make test
	$(GO) test -tags ci -count=1 -run '^TestLong' ./cmd/netbench/internal/cli ./testenv/services

toolchain: ## tier ci: a build that a profile guides, beside a plain one; the detector with the runtime's goroutine leak profile
	$(GO) test -tags ci -count=1 -v -run '^TestToolchain' ./cmd/netbench/internal/cli
	GOEXPERIMENT=goroutineleakprofile $(GO) test -count=1 ./gcprofile/leak/...

proof-generator: build ## tier proof: the generator beside a C client and wrk; writes docs/generator.md
	$(NETBENCH) calibrate -rounds 16 -markdown docs/generator.md

proof-interleave-twins: ## tier proof: 48 rounds of two copies of a server; writes docs/interleave.md
	$(GO) test -tags proof -count=1 -v -timeout 0 -run '^TestProofInterleaveTwins' ./models/goroutine

proof-interleave-slower: ## tier proof: a server with 5 % more work, both ways; writes docs/interleave-slower.md
	$(GO) test -tags proof -count=1 -v -timeout 0 -run '^TestProofInterleaveSlower' ./models/goroutine

proof-race: build ## tier proof: all loads, memory, and which model to choose for each; writes docs/race.md
	$(NETBENCH) race -cells all -models $(MODELS) -rounds $(ROUNDS) -memory -dir $(RUNS) -markdown docs/race.md

proof-reactor: build ## tier proof: the reactor against gnet, nbio and the floor; writes docs/reactor-race.md
	$(NETBENCH) race -cells standard -models reactor,gnet,nbio,c-epoll,c-uring,goroutine -baseline reactor -rounds $(ROUNDS) -dir $(RUNS) -markdown docs/reactor-race.md

proof-ablation: build ## tier proof: the reactor without each of its techniques; writes docs/reactor-ablation.md
	$(NETBENCH) race -cells standard -models $(ABLATION) -baseline reactor -rounds $(ROUNDS) -slices 16 -dir $(RUNS) -markdown docs/reactor-ablation.md

proof-idle: ## tier proof: the reactor with 10,000 connections, most of them idle; writes docs/reactor-idle.md
	$(GO) test -tags proof -count=1 -v -timeout 0 -run '^TestProofIdle' ./models/reactor

proof-gate: build ## tier proof: how often the gate errs, over an hour; writes docs/gate.md
	$(NETBENCH) gate selftest -markdown docs/gate.md

proof-bisect: ## tier proof: the commit that made it slower is found among others, five minutes
	$(GO) test -tags proof -count=1 -v -timeout 0 -run '^TestProofBisect' ./cmd/netbench/internal/cli

proof-pool-http: ## tier proof: HTTP's recommended pool beside the default one; writes docs/pool-http.md
	$(GO) test -tags proof -count=1 -v -timeout 0 -run '^TestProofHTTPPool' ./pools/http

proof-pool-postgres: ## tier proof: PostgreSQL's pools, beside pgbench; writes docs/pool-postgres.md
	$(GO) test -tags proof -count=1 -v -timeout 0 -run '^TestProofPostgresPool' ./pools/postgres

proof-incident: ## tier proof: a pool too small, and what its monitor says; writes docs/incident-postgres.md
	$(GO) test -tags proof -count=1 -v -timeout 0 -run '^TestProofIncident' ./pools/postgres

proof-pool-redis: ## tier proof: Redis' pools, beside redis-benchmark; writes docs/pool-redis.md
	$(GO) test -tags proof -count=1 -v -timeout 0 -run '^TestProofRedisPool' ./pools/redis

proof-strategies: ## tier proof: lazy, warmed and checked pools; writes docs/pool-strategies.md
	$(GO) test -tags proof -count=1 -v -timeout 0 -run '^TestProofStrategies' ./pools/strategies

proof-services: ## tier proof: services are ready in time, and gone with their program; writes docs/services.md
	$(GO) test -tags proof -count=1 -v -timeout 0 -run '^TestProofServices' ./testenv/containers

proof-link: ## tier proof: what ping and iperf3 see of a shaped link; writes docs/link.md
	$(GO) test -tags proof -count=1 -v -run '^TestProof' ./testenv/link

proof-zerocopy: ## tier proof: all ways to send a file, beside iperf3; writes docs/zerocopy.md
	$(GO) test -tags proof -count=1 -v -timeout 0 -run '^TestProofZeroCopy$$' ./zerocopy

proof-proxy: ## tier proof: a proxy by a buffer, by splice and by io.Copy; writes docs/proxy.md
	$(GO) test -tags proof -count=1 -v -timeout 0 -run '^TestProofProxy$$' ./zerocopy/proxy

proof-vectored: ## tier proof: ways to send a header and a body; writes docs/vectored.md
	$(GO) test -tags proof -count=1 -v -timeout 0 -run '^TestProofVectored$$' ./zerocopy/vectored

proof-buffers: ROUNDS = 4
proof-buffers: ## tier proof: read, bufio and socket buffers, small writes, near and far; writes docs/buffers.md: ROUNDS
	$(GO) test -tags proof -count=1 -v -timeout 0 -run '^TestProofBuffers' ./buffers -buffers-rounds $(ROUNDS)

proof-cache: ## tier proof: our bounded cache beside golang-lru and otter; writes docs/cache.md
	$(GO) test -tags proof -count=1 -v -timeout 0 -run '^TestProofCache$$' ./gcprofile/cache

proof-leaks: ## tier proof: leaks that are found and cures that are not, 20 runs of each; writes docs/leaks.md
	$(GO) test -tags proof -count=1 -v -timeout 0 -run '^TestProofLeaks' ./gcprofile/leak/cases

proof-gc-settings: ## tier proof: GOGC and GOMEMLIMIT under load; writes docs/gc-settings.md
	$(GO) test -tags proof -count=1 -v -timeout 0 -run '^TestProofSettings' ./gcprofile

proof-gc-recommend: ## tier proof: a recommended setting keeps its goal in fresh processes; writes docs/gc-recommend.md
	$(GO) test -tags proof -count=1 -v -timeout 0 -run '^TestProofRecommendation' ./gcprofile

proof-before-after: ## tier proof: a naive service and a tuned one at equal load; writes docs/gc.md
	$(GO) test -tags proof -count=1 -v -timeout 0 -run '^TestProofBeforeAfter' ./gcprofile/beforeafter

proof-memory: build ## tier proof: memory of an idle connection, all models; writes docs/memory.md and docs/memory-http.md
	$(NETBENCH) memory -models all -markdown docs/memory.md
	$(NETBENCH) memory -models all -service http -markdown docs/memory-http.md
