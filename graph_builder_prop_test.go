package lashstore_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/lashstore/lashstore"
)

// storedGraph is what a store would have after applying deltas.
type storedGraph struct {
	nodes []lashstore.Node
	leaf  lashstore.NodeID
}

func (g *storedGraph) has(id lashstore.NodeID) bool {
	return slices.ContainsFunc(g.nodes, func(n lashstore.Node) bool { return n.NodeID == id })
}

// apply applies a delta by the rules of the contract.
func (g *storedGraph) apply(d lashstore.GraphDelta) error {
	if err := d.Validate(); err != nil {
		return err
	}
	if d.Mode == lashstore.GraphReplace {
		g.nodes, g.leaf = nil, ""
	}
	for _, n := range d.Nodes {
		if g.has(n.NodeID) || n.ParentNodeID != "" && !g.has(n.ParentNodeID) {
			return fmt.Errorf("node %q under %q", n.NodeID, n.ParentNodeID)
		}
		g.nodes = append(g.nodes, n)
	}
	if d.Leaf != nil {
		if !g.has(*d.Leaf) {
			return fmt.Errorf("leaf %q", *d.Leaf)
		}
		g.leaf = *d.Leaf
	}
	return nil
}

// Whatever a runtime does, the deltas it commits give the store the graph that the
// runtime has.
func TestDeltasRebuildTheGraph(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var stored storedGraph
		b := lashstore.NewGraphBuilder(lashstore.Graph{}, randomBytes{t})
		text := rapid.SampledFrom([]string{"", "a", "b", "message:a"})
		must := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"message": func(t *rapid.T) {
				_, err := b.AppendMessage(userMessage(text.Draw(t, "id")))
				must(err)
			},
			"protocol": func(*rapid.T) {
				_, err := b.AppendProtocol("p", json.RawMessage(`1`))
				must(err)
			},
			"plugin": func(*rapid.T) {
				_, err := b.AppendPlugin("p", json.RawMessage(`1`))
				must(err)
			},
			"move": func(t *rapid.T) {
				if nodes := b.Graph().Nodes; len(nodes) > 0 {
					must(b.SetLeaf(rapid.SampledFrom(nodes).Draw(t, "leaf").NodeID))
				}
			},
			"replace": func(t *rapid.T) { must(b.ReplaceActivePath(userMessage(text.Draw(t, "id")))) },
			"commit": func(*rapid.T) {
				must(stored.apply(b.Delta()))
				b.Committed()
			},
			"reload": func(*rapid.T) {
				must(stored.apply(b.Delta()))
				b = lashstore.NewGraphBuilder(lashstore.Graph{Nodes: stored.nodes, LeafNodeID: stored.leaf}, randomBytes{t})
			},
			"": func(t *rapid.T) {
				after := storedGraph{nodes: slices.Clone(stored.nodes), leaf: stored.leaf}
				if err := after.apply(b.Delta()); err != nil {
					t.Fatalf("the delta does not apply: %v", err)
				}
				g := b.Graph()
				if !slices.Equal(nodeIDs(after.nodes), nodeIDs(g.Nodes)) || after.leaf != g.LeafNodeID {
					t.Fatalf("stored %q with leaf %q, built %q with leaf %q", nodeIDs(after.nodes), after.leaf, nodeIDs(g.Nodes), g.LeafNodeID)
				}
				path := b.ActivePath()
				for i, n := range path {
					if want := lashstore.NodeID(""); i > 0 && n.ParentNodeID != path[i-1].NodeID || i == 0 && n.ParentNodeID != want {
						t.Fatalf("path %q is broken at %d", nodeIDs(path), i)
					}
				}
			},
		})
	})
}

// randomBytes draws what a builder reads.
type randomBytes struct{ t *rapid.T }

func (r randomBytes) Read(p []byte) (int, error) {
	return copy(p, rapid.SliceOfN(rapid.Byte(), len(p), len(p)).Draw(r.t, "random")), nil
}
