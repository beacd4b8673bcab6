package conformance

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// scenario is one behaviour.
type scenario struct {
	name  string
	needs need
	run   func(e *env)
}

// need is what a scenario asks of the harness.
type need uint8

const (
	needFiles need = 1 << iota
	needDamage
	needFaults
	needCollector
)

func (n need) missing(h *Harness) string {
	var missing []string
	if n&needFiles != 0 && h.Files == nil {
		missing = append(missing, "files")
	}
	if n&needDamage != 0 && h.Damage == nil {
		missing = append(missing, "damage")
	}
	if n&needFaults != 0 && h.Faults == nil {
		missing = append(missing, "faults")
	}
	if n&needCollector != 0 && !h.Collects {
		missing = append(missing, "collector")
	}
	return strings.Join(missing, " and ")
}

// scenarios lists all of them, in the order of the contract's files.
func scenarios() []scenario {
	return slices.Concat(
		sessionScenarios(), expiryScenarios(), catalogScenarios(), closingScenarios(), stateScenarios(),
		graphScenarios(), tombstoneScenarios(), frameScenarios(),
		commitScenarios(), turnScenarios(), refusalScenarios(), checkpointScenarios(), usageScenarios(),
		leaseScenarios(), reclaimScenarios(), clockScenarios(),
		queueScenarios(), claimScenarios(), selectScenarios(), sourceKeyScenarios(), settleScenarios(),
		attachmentScenarios(), artifactScenarios(), blobScenarios(),
		collectionScenarios(), graceScenarios(), undeleteScenarios(), sessionCollectionScenarios(), liveScenarios(), noCollectionScenarios(),
		historyScenarios(), durabilityScenarios(), readOnlyScenarios(), fileScenarios(), damageScenarios(),
		hostileScenarios(),
	)
}

// Run runs the suite. newHarness is called once for each scenario, and by several
// goroutines.
func Run(t *testing.T, newHarness func(t *testing.T) Harness) {
	t.Helper()
	all := scenarios()
	var skipped atomic.Int64
	t.Cleanup(func() {
		t.Logf("conformance: %d scenarios, %d of them skipped because the harness lacks what they need",
			len(all), skipped.Load())
	})
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			if missing := s.needs.missing(&h); missing != "" {
				skipped.Add(1)
				t.Skipf("the harness offers no %s", missing)
			}
			s.run(newEnv(t, h))
		})
	}
}
