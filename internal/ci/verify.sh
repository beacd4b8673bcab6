#!/usr/bin/env bash
# Fails unless the tree is what the tools would make of it: gofmt changes nothing,
# go.mod and go.sum are tidy, generated files are current. All checks run even if
# one fails. Generated files are left as "go generate" wrote them.
set -euo pipefail

status=0
fail() {
  echo "verify: $*" >&2
  status=1
}

unformatted=$(git ls-files -co --exclude-standard '*.go' | while read -r f; do
  [ ! -f "$f" ] || echo "$f"
done | xargs gofmt -l)
[ -z "$unformatted" ] || fail "not formatted, run make fmt:" $unformatted

go mod tidy -diff || fail "go.mod is not tidy, run go mod tidy"
(cd tools && go mod tidy -diff) || fail "tools/go.mod is not tidy, run go mod tidy in tools"

# tree prints an id of the whole work tree, without touching the index.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
tree() {
  rm -f "$scratch/index"
  GIT_INDEX_FILE="$scratch/index" git add -A
  GIT_INDEX_FILE="$scratch/index" git write-tree
}
before=$(tree)
go generate ./...
after=$(tree)
if [ "$before" != "$after" ]; then
  git --no-pager diff --stat "$before" "$after"
  fail "generated files were not current; they are now, commit them"
fi
exit $status
