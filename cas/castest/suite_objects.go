package castest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
)

// What is put can be got, the empty object too.
func testPutGet(tr trial) {
	t, h := tr.t, tr.h
	for _, n := range []int{0, 1, 4096, 1<<20 + 3} {
		key, body := fmt.Sprintf("b3/00/size-%d", n), content(n, uint64(n))
		put(t, h.Driver, key, body)
		wantBody(t, key, read(t, h.Driver, key, 0, -1), body)
	}
}

// A range gives its bytes, or those that there are.
func testRanges(tr trial) {
	t, h := tr.t, tr.h
	body := content(1000, 7)
	put(t, h.Driver, "k", body)
	for _, r := range []struct{ offset, length, from, to int64 }{
		{0, -1, 0, 1000},
		{0, 1, 0, 1},
		{0, 1000, 0, 1000},
		{0, 5000, 0, 1000},
		{10, 20, 10, 30},
		{999, 1, 999, 1000},
		{990, 50, 990, 1000},
		{500, -1, 500, 1000},
		{1000, -1, 1000, 1000},
		{1000, 1, 1000, 1000},
		{5000, 10, 1000, 1000},
		{10, math.MaxInt64, 10, 1000},
		{math.MaxInt64, -1, 1000, 1000},
	} {
		got := read(t, h.Driver, "k", r.offset, r.length)
		wantBody(t, fmt.Sprintf("range %d+%d", r.offset, r.length), got, body[r.from:r.to])
	}
}

// Absence is ErrObjectNotFound, also where a key is the folder of another or goes
// on below one.
func testAbsent(tr trial) {
	t, h := tr.t, tr.h
	wantAbsent(t, h.Driver, "b3/00/nothing")
	put(t, h.Driver, "b3/00/object", []byte("x"))
	for _, key := range []string{"b3/00/objec", "b3/00/object.", "b3/00/object2", "b3/00", "b3", "b3/00/object/below"} {
		wantAbsent(t, h.Driver, key)
	}
	if err := h.Driver.Delete(t.Context(), []string{"b3", "b3/00"}); err != nil {
		t.Errorf("Delete of folders: %v, want success as for any absent object", err)
	}
	wantBody(t, "the object below", read(t, h.Driver, "b3/00/object", 0, -1), []byte("x"))
}

// Stat agrees with what was put and with List.
func testStat(tr trial) {
	t, h := tr.t, tr.h
	put(t, h.Driver, "b3/01/object", content(321, 1))
	info, err := h.Driver.Stat(t.Context(), "b3/01/object")
	if err != nil {
		t.Fatalf("Stat: %v", err)
	}
	if info.Key != "b3/01/object" || info.SizeBytes != 321 || info.ModTime.IsZero() {
		t.Errorf("Stat: got %+v, want the key, 321 bytes and a time", info)
	}
	listed, err := h.Driver.List(t.Context(), "", "", 10)
	if err != nil || len(listed) != 1 {
		t.Fatalf("List: %+v, %v, want one object", listed, err)
	}
	if listed[0].Key != info.Key || listed[0].SizeBytes != info.SizeBytes || !listed[0].ModTime.Equal(info.ModTime) {
		t.Errorf("List says %+v, Stat says %+v", listed[0], info)
	}
}

// A second put replaces the object, be it longer, shorter or the same.
func testOverwrite(tr trial) {
	t, h := tr.t, tr.h
	for i, n := range []int{100, 100, 5000, 10, 0, 70} {
		body := content(n, uint64(i))
		put(t, h.Driver, "k", body)
		wantBody(t, fmt.Sprintf("put %d", i), read(t, h.Driver, "k", 0, -1), body)
	}
	wantKeys(t, "after overwriting", listKeys(t, h.Driver, "", "", 10), []string{"k"})
}

// A driver that kept the caller's buffer, or handed out its own, would change
// stored objects when either is used again.
func testBodyIsCopied(tr trial) {
	t, h := tr.t, tr.h
	want := content(5000, 3)
	body := bytes.Clone(want)
	put(t, h.Driver, "k", body)
	clear(body)
	got := read(t, h.Driver, "k", 0, -1)
	wantBody(t, "after the put buffer was used again", got, want)
	clear(got)
	wantBody(t, "after the got buffer was used again", read(t, h.Driver, "k", 0, -1), want)
}

// The largest object that the store makes fits.
func testLarge(tr trial) {
	t, h := tr.t, tr.h
	body := content(cas.HeaderBytes+cas.MaxObjectBytes, 4)
	put(t, h.Driver, "large", body)
	wantBody(t, "16 MiB", read(t, h.Driver, "large", 0, -1), body)
	wantBody(t, "a range of it", read(t, h.Driver, "large", 9<<20, 1000), body[9<<20:9<<20+1000])
}

// Delete removes what it names and nothing else; absent keys do not matter.
func testDelete(tr trial) {
	t, h := tr.t, tr.h
	for _, key := range []string{"a", "b", "c", "d"} {
		put(t, h.Driver, key, []byte(key))
	}
	for range 2 { // the second time nothing is there
		if err := h.Driver.Delete(t.Context(), []string{"a", "nothing", "c"}); err != nil {
			t.Fatalf("Delete: %v", err)
		}
		wantAbsent(t, h.Driver, "a")
		wantAbsent(t, h.Driver, "c")
		wantKeys(t, "after Delete", listKeys(t, h.Driver, "", "", 10), []string{"b", "d"})
	}
	put(t, h.Driver, "a", []byte("again"))
	wantBody(t, "put after Delete", read(t, h.Driver, "a", 0, -1), []byte("again"))
}

// A batch of the largest size is deleted whole.
func testDeleteManyKeys(tr trial) {
	t, h := tr.t, tr.h
	keys := make([]string, cas.MaxDeleteKeys)
	for i := range keys {
		keys[i] = fmt.Sprintf("b3/%02x/%05d", i%7, i)
		if i%10 == 0 {
			put(t, h.Driver, keys[i], nil)
		}
	}
	put(t, h.Driver, "b3/00/stays", nil)
	if err := h.Driver.Delete(t.Context(), keys); err != nil {
		t.Fatalf("Delete of %d keys: %v", len(keys), err)
	}
	wantKeys(t, "after Delete", listKeys(t, h.Driver, "", "", 10), []string{"b3/00/stays"})
}

// An open reader gives the object it opened, or an error, whatever happens to the
// key meanwhile; never a mixture.
func testReaderSurvives(tr trial) {
	t, h := tr.t, tr.h
	before := content(3<<20, 5)
	put(t, h.Driver, "k", before)
	r, err := h.Driver.Get(t.Context(), "k", 0, -1)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	head := make([]byte, 1000)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatalf("read the head: %v", err)
	}
	put(t, h.Driver, "k", content(3<<20, 6))
	if err := h.Driver.Delete(t.Context(), []string{"k"}); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	rest, err := io.ReadAll(r)
	if err == nil {
		wantBody(t, "the object that was opened", append(head, rest...), before)
	}
	if err := r.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	wantAbsent(t, h.Driver, "k")
}

// hostileKeys would lead out of a folder, name what a driver keeps for itself, or
// mean different things to different file systems.
func hostileKeys() []string {
	return []string{
		"", ".", "..", "/", "/etc/passwd", "../up", "a/../../up", "a/..", "a/./b", "./a", "a//b", "a/", "/a",
		".tmp/x", ".hidden", "a/.hidden", `a\b`, `..\up`, "C:/x", "a:b", "a\x00b", "a\nb", "a b", "A", "ä", "a\xff",
		"a%2e%2e", "a?b", "a*b", "~", strings.Repeat("a", 256), strings.Repeat("a/", 256) + "a",
	}
}

// Keys that the store would never make are refused by each operation, with
// ErrInvalid and without a trace.
func testHostileKeys(tr trial) {
	t, h := tr.t, tr.h
	put(t, h.Driver, "a/b", []byte("stays"))
	for _, key := range hostileKeys() {
		if err := h.Driver.Put(t.Context(), key, []byte("x")); !errors.Is(err, lashstore.ErrInvalid) {
			t.Errorf("Put %q: got error %v, want ErrInvalid", key, err)
		}
		if _, err := h.Driver.Get(t.Context(), key, 0, -1); !errors.Is(err, lashstore.ErrInvalid) {
			t.Errorf("Get %q: got error %v, want ErrInvalid", key, err)
		}
		if _, err := h.Driver.Stat(t.Context(), key); !errors.Is(err, lashstore.ErrInvalid) {
			t.Errorf("Stat %q: got error %v, want ErrInvalid", key, err)
		}
		var each *cas.DeleteError
		err := h.Driver.Delete(t.Context(), []string{key, "absent"})
		if !errors.As(err, &each) || len(each.Failed) != 1 || !errors.Is(each.Failed[key], lashstore.ErrInvalid) {
			t.Errorf("Delete %q: got error %v, want a DeleteError with ErrInvalid for that key alone", key, err)
		}
	}
	wantKeys(t, "after hostile keys", listKeys(t, h.Driver, "", "", 100), []string{"a/b"})
	wantBody(t, "the honest object", read(t, h.Driver, "a/b", 0, -1), []byte("stays"))
}
