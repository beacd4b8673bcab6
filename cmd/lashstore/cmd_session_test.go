package main

import (
	"testing"
	"time"

	"github.com/lashstore/lashstore"
)

// The golden files hide times: that each command shows the same expiry, counted from
// the creation and then from the last commit, is checked here.
func TestSessionExpiry(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	check := func(id lashstore.SessionID, ttl time.Duration) {
		t.Helper()
		shown := c.run(t, "", "session", "show", string(id), "-o", "json")
		doc := decode[sessionShown](t, shown.stdout)
		updated := doc.Head.CommittedAt
		if doc.Head.Revision == 0 {
			updated = doc.Meta.CreatedAt
		}
		want := time.Time{}
		if ttl > 0 {
			want = updated.Add(ttl)
		}
		if updated.IsZero() || doc.Meta.TTL != ttl || !doc.ExpiresAt.Equal(want) {
			t.Errorf("%s is shown with a time to live of %s, expiry %s, want %s and %s", id, doc.Meta.TTL, doc.ExpiresAt, ttl, want)
		}
		listed := c.run(t, "", "session", "ls", "-o", "json")
		for _, s := range decode[lashstore.SessionPage](t, listed.stdout).Sessions {
			if s.SessionID == id && !s.ExpiresAt.Equal(want) {
				t.Errorf("%s is listed with expiry %s, want %s", id, s.ExpiresAt, want)
			}
		}
	}
	for _, args := range [][]string{
		{"session", "create", "chat", "--ttl", "36h"},
		{"session", "create", "lasting"},
	} {
		if o := c.run(t, "", args...); o.exit != exitOK {
			t.Fatalf("%v: %+v", args, o)
		}
	}
	check("chat", 36*time.Hour)
	check("lasting", 0)
	if o := c.run(t, "", "import", "testdata/chat.jsonl"); o.exit != exitOK { // into the session that is there
		t.Fatalf("import: %+v", o)
	}
	check("chat", 36*time.Hour)
}
