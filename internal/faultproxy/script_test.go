package faultproxy_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/lashstore/lashstore/internal/faultproxy"
)

// A request that is taken for another would be spared the fault that a test is about.
func TestOps(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	want := []faultproxy.Op{
		faultproxy.OpPut, faultproxy.OpGet, faultproxy.OpHead, faultproxy.OpDelete, faultproxy.OpDeletes, faultproxy.OpList,
		faultproxy.OpHeadBucket, faultproxy.OpCreate, faultproxy.OpPart, faultproxy.OpComplete, faultproxy.OpAbort,
		faultproxy.OpListUploads, faultproxy.OpOther, faultproxy.OpOther, faultproxy.OpOther, faultproxy.OpOther,
	}
	for _, request := range [][2]string{
		{http.MethodPut, "/bucket/a/b?x-id=PutObject"},
		{http.MethodGet, "/bucket/a/b"},
		{http.MethodHead, "/bucket/a/b"},
		{http.MethodDelete, "/bucket/a/b"},
		{http.MethodPost, "/bucket?delete="},
		{http.MethodGet, "/bucket?list-type=2&prefix=a/b"},
		{http.MethodHead, "/bucket/"},
		{http.MethodPost, "/bucket/a/b?uploads="},
		{http.MethodPut, "/bucket/a/b?partNumber=1&uploadId=u"},
		{http.MethodPost, "/bucket/a/b?uploadId=u"},
		{http.MethodDelete, "/bucket/a/b?uploadId=u"},
		{http.MethodGet, "/bucket?uploads="},
		{http.MethodPut, "/bucket"},
		{http.MethodGet, "/bucket/a/b?uploadId=u"},
		{http.MethodPost, "/bucket/a/b"},
		{http.MethodPost, "/bucket"},
	} {
		if a := o.do(request[0], request[1], nil); a.err != nil {
			t.Fatal(a.err)
		}
	}
	var got []faultproxy.Op
	for i, e := range o.proxy.Events() {
		if e.N != i+1 {
			t.Errorf("request %d has number %d", i+1, e.N)
		}
		got = append(got, e.Op)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if keys := o.proxy.Keys(faultproxy.OpPut, faultproxy.OpCreate, faultproxy.OpDeletes); !slices.Equal(keys, []string{"", "a/b"}) {
		t.Errorf("keys %q, want that of the object once", keys)
	}
	if n := o.proxy.Count(faultproxy.OpOther, faultproxy.OpGet); n != 5 {
		t.Errorf("counted %d, want 5", n)
	}
}

// choices are what a script chooses for gets and puts in turn.
func choices(s faultproxy.Script, n int) string {
	text := ""
	for i := range n {
		op := faultproxy.OpGet
		if i%2 == 1 {
			op = faultproxy.OpPut
		}
		if s(faultproxy.Request{N: i + 1, Op: op}).Kind() == faultproxy.KindPass {
			text += "."
		} else {
			text += "x"
		}
	}
	return text
}

func TestScripts(t *testing.T) {
	t.Parallel()
	fault := faultproxy.Refuse()
	for want, script := range map[string]faultproxy.Script{
		"xxxxxx": faultproxy.Always(fault),
		".x.x.x": faultproxy.Always(fault, faultproxy.OpPut),
		"x.....": faultproxy.Once(fault),
		".x....": faultproxy.Once(fault, faultproxy.OpPut, faultproxy.OpDelete),
		"..x...": faultproxy.Nth(3, fault),
		"...x..": faultproxy.Nth(2, fault, faultproxy.OpPut),
		"......": faultproxy.Always(fault, faultproxy.OpList),
	} {
		if got := choices(script, 6); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// A seed says which requests meet which fault.
func TestRandom(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) string {
		script := faultproxy.Random(seed, 4, faultproxy.Refuse(), faultproxy.Cut())
		text := ""
		for range 1000 {
			text += fmt.Sprint(script(faultproxy.Request{}), "\n")
		}
		return text
	}
	if first, again := run(1), run(1); first != again || first == run(2) {
		t.Error("the seed does not determine the faults, or another seed gives the same")
	}
	if n := len(slices.Collect(func(yield func(byte) bool) {
		script := faultproxy.Random(1, 4, faultproxy.Refuse())
		for range 1000 {
			if script(faultproxy.Request{}).Kind() == faultproxy.KindRefuse && !yield(0) {
				return
			}
		}
	})); n < 150 || n > 350 {
		t.Errorf("%d of 1000 requests met a fault, want about 250", n)
	}
}
