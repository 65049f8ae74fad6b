# Everything that people and CI do here; `make` alone lists the targets.
export CGO_ENABLED := 0
BIN   := tools/bin
PAGE  := internal/console/dist/index.html

.PHONY: help run build test lint e2e bench hostile fuzz web peers docs deps tools

help: ## this list
	@sed -nE 's/^([a-z0-9]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

run: build ## build everything and serve; ARGS=demo passes arguments to sluice
	./bin/sluice $(ARGS)

MODULES = $(shell sed -nE 's|^//go:build !no_([a-z]+)$$|\1|p' cmd/sluice/*.go | sort -u)
UNKNOWN = $(filter-out $(MODULES),$(WITHOUT))
$(if $(UNKNOWN),$(error no optional module is called "$(UNKNOWN)"; there are: $(MODULES)))
build: $(if $(filter console,$(WITHOUT)),,web) ## the binary in bin/; WITHOUT="flv console" leaves modules out
	go build -trimpath -tags '$(addprefix no_,$(WITHOUT))' -o bin/sluice ./cmd/sluice

test: deps tools web peers lint ## install what the tests lack, then the linters and all tests
	npm --prefix web test
	CGO_ENABLED=1 $(BIN)/gotestsum --format pkgname -- -race -timeout 20m ./...

lint: tools web ## the linters, and a build for other systems
	$(BIN)/golangci-lint run ./...
	@for p in linux/arm64 darwin/arm64 windows/amd64; do GOOS=$${p%/*} GOARCH=$${p#*/} go build ./... || exit 1; done
	npm --prefix web run check

e2e: deps web peers ## the tests with the real binary and real peers
	go test -count=1 -timeout 10m ./test/...

bench: build ## the table of docs/performance.md; PEER_RTMP and PEER_FLV measure another server
	go run ./test/bench $(if $(PEER_RTMP),,-write)

hostile: web ## everything hostile against the real binary, for some minutes; HOSTILE=0.1 is a tenth
	HOSTILE=$(or $(HOSTILE),1) go test -count=1 -v -timeout 90m ./test/hostile

fuzz: ## every fuzz target for FUZZTIME=30s
	@tools/fuzz.sh $(FUZZTIME)

web: $(PAGE) ## the console's page, bundled into internal/console/dist
$(PAGE): web/node_modules $(shell find web -name node_modules -prune -o -type f -print)
	npm --prefix web run build
%/node_modules: %/package-lock.json
	npm --prefix $* ci --ignore-scripts --no-audit --no-fund
	@touch $@

peers: test/peers/node_modules ## FFmpeg 8.1 for the tests: 200 MB of npm packages
docs: ## the generated pages of docs/
	go generate ./cmd/sluice
	go test ./internal/casecheck -update

deps: ## Debian packages that the tests need: root, or sudo, where some are missing
	@tools/deps.sh

tools: $(BIN)/gotestsum
$(BIN)/gotestsum: tools/go.mod tools/go.sum
	cd tools && GOBIN='$(CURDIR)/$(BIN)' go install tool
	@touch $@
