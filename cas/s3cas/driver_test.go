package s3cas_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/s3cas"
)

// A context that is done, and a key that is none, send nothing.
func TestNothingIsSent(t *testing.T) {
	t.Parallel()
	_, d := script(t, s3cas.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		ctx  context.Context //nolint:containedctx // the case
		key  string
		want error
	}{
		{ctx, "k", context.Canceled},
		{t.Context(), "../k", lashstore.ErrInvalid},
		{t.Context(), "K", lashstore.ErrInvalid},
		{t.Context(), "", lashstore.ErrInvalid},
	} {
		_, getErr := d.Get(test.ctx, test.key, 0, -1)
		_, statErr := d.Stat(test.ctx, test.key)
		for op, err := range map[string]error{
			"Put": d.Put(test.ctx, test.key, nil), "Get": getErr, "Stat": statErr, "Delete": d.Delete(test.ctx, []string{test.key}),
		} {
			if !errors.Is(err, test.want) || errors.Is(err, cas.ErrObjectNotFound) {
				t.Errorf("%s %q: got error %v, want %v", op, test.key, err, test.want)
			}
		}
	}
	if _, err := d.List(ctx, "", "", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("List: got error %v, want context.Canceled", err)
	}
}

// The hint names the permission that each operation needs.
func TestDeniedHints(t *testing.T) {
	t.Parallel()
	denied := refuse(http.StatusForbidden, "AccessDenied", "no")
	_, d := script(t, s3cas.Options{}, denied, denied, denied, denied, denied)
	_, getErr := d.Get(t.Context(), "k", 0, -1)
	_, listErr := d.List(t.Context(), "", "", 1)
	for permission, err := range map[string]error{
		"s3:GetObject": getErr, "s3:ListBucket": listErr, "s3:PutObject": d.Put(t.Context(), "k", nil),
		"s3:DeleteObject": d.Delete(t.Context(), []string{"a", "b"}),
	} {
		kind := lashstore.ErrStorage
		if permission == "s3:PutObject" || permission == "s3:DeleteObject" {
			kind = lashstore.ErrReadOnly
		}
		if e := wantDetails(t, err, s3cas.ReasonDenied, kind); !strings.Contains(e.Hint, permission) {
			t.Errorf("got hint %q, want %s", e.Hint, permission)
		}
	}
	var each *cas.DeleteError
	if err := d.Delete(t.Context(), []string{"a"}); !errors.As(err, &each) || !errors.Is(err, lashstore.ErrReadOnly) {
		t.Errorf("Delete of one key: got error %v, want a DeleteError with ErrReadOnly", err)
	}
}
