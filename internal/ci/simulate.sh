#!/usr/bin/env bash
# Runs random interleavings of the real code: HISTORIES of them (10000), or, if HOURS is
# set, as many as fit into so many hours. Two processes share the work. Before that, the
# simulation has to find each of the bugs that are planted on purpose.
#
# A history that fails is printed, shortened, with the seed that reproduces it and a file
# in local/testdata/rapid that repeats it: commit that with the fix.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Memory in place of a disk, where there is some: what is simulated is not the disk.
if [ -z "${TMPDIR:-}" ] && [ -d /dev/shm ] && [ -w /dev/shm ]; then
  export TMPDIR=/dev/shm
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

echo "=== planted bugs"
go test -count=1 -tags sabotage -v -run '^TestSimulationFindsPlantedBugs$' -timeout 20m ./local | grep -E '^ *(---|sim_.*found)|^(ok|FAIL)'

workers=2
go test -c -o "$scratch/simulation" ./local

# simulate COUNT LIMIT tries COUNT histories in each of the processes.
simulate() {
  local pids=() status=0 n
  for n in $(seq "$workers"); do
    (cd local && "$scratch/simulation" -test.run '^TestSimulation$' -test.v -test.timeout "$2" \
      -rapid.checks="$1" >"$scratch/$n.out" 2>&1) &
    pids+=($!)
  done
  for n in $(seq "$workers"); do
    wait "${pids[$((n - 1))]}" || status=1
  done
  for n in $(seq "$workers"); do
    echo "=== process $n"
    cat "$scratch/$n.out"
  done
  return "$status"
}

if [ -z "${HOURS:-}" ]; then
  echo "=== ${HISTORIES:=10000} histories"
  simulate $(((HISTORIES + workers - 1) / workers)) 30m
  exit
fi
end=$((SECONDS + HOURS * 3600))
total=0
until [ "$SECONDS" -ge "$end" ]; do
  simulate 50000 6h
  total=$((total + workers * 50000))
  echo "=== $total histories, $SECONDS seconds"
done
