package model_test

import (
	"context"
	"fmt"

	"github.com/lashstore/lashstore/gc/model"
)

// Why the audit takes a session's write lock: without it, the edge that a commit has
// just read again can go before the commit is done.
func Example() {
	r, err := model.Check(context.Background(), model.Config{Bug: model.NoLock})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, step := range r.Violation.Trace {
		fmt.Println(step)
	}
	fmt.Println("=>", r.Violation.Reason)
	// Output:
	// session 0 reserves, making a new row (generation 1)
	// session 0 sends a PUT (generation 1)
	// the PUT takes effect (generation 1)
	// session 0 sees the object stored (generation 1)
	// session 0 marks the object present (generation 1)
	// session 0 locks its database and reads the reservation again
	// session 0 is audited: a surplus edge is removed
	// session 0 commits
	// the row is condemned (generation 1)
	// the row is removed and its object doomed (generation 1)
	// => session 0 holds content that is not there
}
