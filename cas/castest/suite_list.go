package castest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// More than one page of S3 (1,000 keys) is listed whole, in order, with any limit.
func testListPages(tr trial) {
	t, h := tr.t, tr.h
	const objects = 1100
	want := make([]string, objects)
	for i := range want {
		want[i] = fmt.Sprintf("b3/%02x/%06d", i*37%16, i)
	}
	// In parallel, since a service takes a millisecond or more for each.
	var putting sync.WaitGroup
	for part := range slices.Chunk(want, objects/10) {
		putting.Go(func() {
			for _, key := range part {
				if err := h.Driver.Put(t.Context(), key, []byte(key)); err != nil {
					t.Errorf("Put %s: %v", key, err)
				}
			}
		})
	}
	putting.Wait()
	slices.Sort(want)
	for _, limit := range []int{97, 1000, 5000} {
		got := listKeys(t, h.Driver, "", "", limit)
		wantKeys(t, fmt.Sprintf("pages of %d", limit), got, want)
	}
}

// The order is that of the whole key's bytes, although '.' and '-' sort before the
// slash: a listing that walks folders by name would get this wrong.
func testListOrder(tr trial) {
	t, h := tr.t, tr.h
	want := []string{"a-b", "a-b/c", "a.b", "a.b/c", "a/b", "a/b-c", "a/b/c", "a0", "a0/b", "ab", "b"}
	for i := range want { // not in order
		key := want[(i*7)%len(want)]
		if isFolder(want, key) {
			continue
		}
		put(t, h.Driver, key, nil)
	}
	want = slices.DeleteFunc(want, func(key string) bool { return isFolder(want, key) })
	for _, limit := range []int{1, 2, 100} {
		wantKeys(t, fmt.Sprintf("pages of %d", limit), listKeys(t, h.Driver, "", "", limit), want)
	}
}

// isFolder reports whether another key lies below key: no object is also a folder.
func isFolder(keys []string, key string) bool {
	return slices.ContainsFunc(keys, func(k string) bool { return strings.HasPrefix(k, key+"/") })
}

// prefix and after are plain text: they need not end at a slash or name an object.
func testListPrefixAfter(tr trial) {
	t, h := tr.t, tr.h
	all := []string{"acme/b3/00/aa", "acme/b3/00/ab", "acme/b3/01/aa", "acme/b3/ff/aa", "acme-2/b3/00/aa", "b3/00/aa"}
	slices.Sort(all)
	for _, key := range all {
		put(t, h.Driver, key, []byte(key))
	}
	for _, test := range []struct{ prefix, after string }{
		{"", ""},
		{"acme/", ""},
		{"acme", ""},
		{"acme/b3/0", ""},
		{"acme/b3/00/a", "acme/b3/00/aa"},
		{"acme/", "acme/b3/00/"},
		{"acme/", "acme/b3/00/zz"},
		{"acme/", "acme/b3/02"},
		{"acme/", "acme/b3/ff/aa"},
		{"acme/", "a"},
		{"acme/", "zzz"},
		{"nobody/", ""},
		{"acme/b3/00/aa", ""},
		{"acme/b3/00/aa/", ""},
		{"", "acme-2/b3/00/aa"},
		{"", "acme.\xff"},
		{"", "ACME"},
		{"../", ""},
		{"/", ""},
		{".tmp", ""},
	} {
		var want []string
		for _, key := range all {
			if strings.HasPrefix(key, test.prefix) && key > test.after {
				want = append(want, key)
			}
		}
		got := listKeys(t, h.Driver, test.prefix, test.after, 2)
		wantKeys(t, fmt.Sprintf("prefix %q after %q", test.prefix, test.after), got, want)
	}
}
