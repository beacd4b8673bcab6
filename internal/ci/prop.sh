#!/usr/bin/env bash
# Runs the property tests, those in *_prop_test.go, with CHECKS random cases each
# (1000). Failing cases land in testdata/rapid: commit them with the fix.
set -euo pipefail

checks=${CHECKS:-1000}
files=$(find . -name '*_prop_test.go' | sort)
if [ -z "$files" ]; then
  echo "no *_prop_test.go found" >&2
  exit 1
fi

status=0
for dir in $(xargs -n 1 dirname <<<"$files" | sort -u); do
  names=$(cat "$dir"/*_prop_test.go | sed -n 's/^func \(Test[A-Za-z0-9_]*\)(.*/\1/p' | paste -s -d '|' -)
  [ -n "$names" ] || continue
  echo "prop $dir"
  go test -count=1 -timeout 60m -run "^($names)\$" "$dir" -rapid.checks="$checks" || status=1
done
exit $status
