#!/bin/sh
# fuzz.sh [TIME]: every fuzz target for TIME, 30s or a count as 10000000x.
# `go test -fuzz` would watch the branches of all packages that a test links, 15,000 to 90,000
# counters that are read after each execution. Here only the tested packages have any.
set -eu
time=${1:-30s}
cd "$(dirname "$0")/.."
cache=$(go env GOCACHE)/fuzz
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
grep -rlE --include='*_test.go' --exclude-dir=node_modules '^func Fuzz' . | xargs -n 1 dirname | sort -u | while read -r dir; do
	set --
	for p in $(go list -deps "$dir" | grep "^$(go list -m)/"); do set -- "$@" "-gcflags=$p=-d=libfuzzer"; done
	go test -c -o "$bin/test" "$@" "$dir"
	for name in $(grep -hoE '^func Fuzz\w+' "$dir"/*_test.go | cut -d ' ' -f 2); do
		echo "$dir $name"
		(cd "$dir" && "$bin/test" -test.run '^$' -test.fuzz "^$name\$" -test.fuzztime "$time" \
			-test.fuzzminimizetime 1x -test.fuzzcachedir "$cache/$(go list .)/$name") || exit 1
	done
done
