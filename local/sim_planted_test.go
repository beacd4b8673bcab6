//go:build sabotage

package local_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lashstore/lashstore/internal/sabotage"
)

// plantedHistories is within how many histories a planted bug must be found: as many as
// `make simulate` tries.
const plantedHistories = 10_000

// A simulation that finds nothing says little unless it would find what is wrong. Each
// bug is a rule of the protocol that the code breaks on purpose, and the simulation must
// find it.
func TestSimulationFindsPlantedBugs(t *testing.T) {
	tmpl := newSimTemplate(t)
	for _, bug := range sabotage.Bugs() {
		t.Run(bug.String(), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			sabotage.Plant(bug)
			defer sabotage.Plant(sabotage.None)
			tally := &simTally{events: make(map[string]int)}
			for n := 1; n <= plantedHistories; n++ {
				steps := simHistories.Example(n)
				if _, err := tmpl.runHistory(dir, tally, steps); err == nil {
					continue
				}
				t.Logf("found in history %d", n)
				trace, err := tmpl.shortest(dir, steps)
				t.Logf("%v\n  %s", err, strings.Join(trace, "\n  "))
				return
			}
			t.Errorf("not found in %d histories", plantedHistories)
		})
	}
}

// shortest leaves out steps of a history for as long as something goes wrong in it.
func (m *simTemplate) shortest(dir string, steps []simStep) ([]string, error) {
	tally := &simTally{events: make(map[string]int)}
	for shorter := true; shorter; {
		shorter = false
		for i := 0; i < len(steps); i++ {
			rest := append(append([]simStep(nil), steps[:i]...), steps[i+1:]...)
			if _, err := m.runHistory(dir, tally, rest); err != nil {
				steps, shorter = rest, true
				i--
			}
		}
	}
	trace, err := m.runHistory(dir, tally, steps)
	return append(trace, fmt.Sprintf("that is: %v", steps)), err
}
