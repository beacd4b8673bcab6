package lashstore_test

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/lashstore/lashstore"
)

// A runtime grows its history in memory and commits what changed.
func ExampleGraphBuilder() {
	ids := bytes.NewReader(make([]byte, 64)) // crypto/rand.Reader in a program
	b := lashstore.NewGraphBuilder(lashstore.Graph{}, ids)
	for _, m := range []lashstore.Message{
		{ID: "m1", Role: lashstore.RoleUser, Parts: []lashstore.Part{{Kind: lashstore.PartText, Content: "What is a session?"}}},
		{ID: "m2", Role: lashstore.RoleAssistant, Parts: []lashstore.Part{{Kind: lashstore.PartText, Content: "A history of commits."}}},
	} {
		if _, err := b.AppendMessage(m); err != nil {
			fmt.Println(err)
			return
		}
	}
	commit := lashstore.Commit{TurnID: "turn-1", Graph: b.Delta()}
	fmt.Println(commit.Graph.Mode, len(commit.Graph.Nodes), *commit.Graph.Leaf, commit.Validate())
	// Output: append 2 m2 <nil>
}

// Callers branch on sentinels and read the data from the struct of the same name.
func ExampleHeadMovedError() {
	err := fmt.Errorf("commit: %w", &lashstore.HeadMovedError{Session: "s", Expected: 4, Actual: 5})
	if moved, ok := errors.AsType[*lashstore.HeadMovedError](err); ok {
		fmt.Println("load again from revision", moved.Actual)
	}
	fmt.Println(errors.Is(err, lashstore.ErrHeadMoved), lashstore.Code(err), lashstore.Retryable(err))
	// Output:
	// load again from revision 5
	// true head_moved false
}

func ExampleDigestOf() {
	d := lashstore.DigestOf([]byte("hello"))
	parsed, err := lashstore.ParseDigest(d.String())
	fmt.Println(d, parsed == d, err)
	// Output: blake3:ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f true <nil>
}
