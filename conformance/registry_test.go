package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// specScenarios is how many scenarios section 5 of the specification has.
const specScenarios = 110

// elsewhere says where scenarios are tested that cannot be expressed through the
// contract. It is empty: each of them has at least a part that can. What lies below
// the contract is tested in addition where it lies.
func elsewhere() map[int]string { return map[int]string{} }

// A scenario of the specification that nobody plays is a behaviour that nobody
// checks.
func TestEveryScenarioIsPlayed(t *testing.T) {
	t.Parallel()
	number := regexp.MustCompile(`^S(\d{2,3})_[A-Z][A-Za-z0-9]*$`)
	ours := regexp.MustCompile(`^X_[A-Z][A-Za-z]*_[A-Z][A-Za-z0-9]*$`)
	played := map[int]string{}
	seen := map[string]bool{}
	for _, s := range scenarios() {
		if seen[s.name] {
			t.Errorf("scenario %s is registered twice", s.name)
		}
		seen[s.name] = true
		m := number.FindStringSubmatch(s.name)
		if m == nil {
			if !ours.MatchString(s.name) {
				t.Errorf("scenario %s is named neither S01_Name nor X_Subject_Name", s.name)
			}
			continue
		}
		n, err := strconv.Atoi(m[1])
		if err != nil || n < 1 || n > specScenarios || m[1] != fmt.Sprintf("%02d", n) {
			t.Errorf("scenario %s: the specification has S01 to S%d", s.name, specScenarios)
		}
		if other, taken := played[n]; taken {
			t.Errorf("scenarios %s and %s have one number", other, s.name)
		}
		played[n] = s.name
	}
	for n := 1; n <= specScenarios; n++ {
		_, here := played[n]
		where, there := elsewhere()[n]
		switch {
		case !here && !there:
			t.Errorf("S%d is played nowhere", n)
		case here && there:
			t.Errorf("S%d is played here and also listed as played in %s", n, where)
		}
	}
}

// A scenario function that is written and not registered is never run.
func TestEveryScenarioIsRegistered(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	function := regexp.MustCompile(`(?m)^func ([sx][A-Za-z0-9]+)\(e \*env\) \{`)
	var source strings.Builder
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(b)
	}
	var names []string
	for _, m := range function.FindAllStringSubmatch(source.String(), -1) {
		names = append(names, m[1])
		if n := strings.Count(source.String(), "run: "+m[1]+"}"); n != 1 {
			t.Errorf("%s is registered %d times", m[1], n)
		}
	}
	if len(names) != len(scenarios()) {
		t.Errorf("%d functions, %d scenarios", len(names), len(scenarios()))
	}
	// Each function is named after its scenario, so that one is found from the other.
	registered := regexp.MustCompile(`name: "(\w+)"[^}]*run: (\w+)\}`)
	for _, m := range registered.FindAllStringSubmatch(source.String(), -1) {
		name := strings.ToLower(strings.ReplaceAll(m[1], "_", ""))
		if !strings.HasPrefix(name, strings.ToLower(m[2])) {
			t.Errorf("scenario %s is played by %s", m[1], m[2])
		}
	}
}
