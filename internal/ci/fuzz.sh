#!/usr/bin/env bash
# Runs every fuzz target of every package whose name FUZZ matches (all), one after the
# other, for FUZZTIME each (10s; or a number of inputs, as 1000x). A crasher lands in the package's
# testdata/fuzz: commit it with the fix. All targets run even if one fails.
set -euo pipefail

fuzztime=${FUZZTIME:-10s}
# "go test -list" prints the targets of a package, then a line "ok <package> …".
targets=$(go test -list "${FUZZ:-^Fuzz}" ./... | awk '
  /^Fuzz/ { name[++n] = $1 }
  /^ok/   { for (i = 1; i <= n; i++) print $2, name[i] }
  !/^Fuzz/ { n = 0 }')
if [ -z "$targets" ]; then
  echo "no fuzz target found" >&2
  exit 1
fi

failed=()
count=0
while read -r package target; do
  count=$((count + 1))
  echo "fuzz $package $target"
  go test -run='^$' -fuzzminimizetime=10x -fuzz="^$target\$" -fuzztime="$fuzztime" "$package" </dev/null || failed+=("$package $target")
done <<<"$targets"

if [ ${#failed[@]} -gt 0 ]; then
  printf 'FAILED %s\n' "${failed[@]}"
  exit 1
fi
echo "fuzz: $count targets, $fuzztime each, no failure"
