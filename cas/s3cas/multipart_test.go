package s3cas_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas/s3cas"
)

// uploads is a server that knows multipart uploads only, and answers as its fields
// say. It keeps nothing but what it saw.
type uploads struct {
	t        *testing.T
	part     http.HandlerFunc // nil: accepted
	complete http.HandlerFunc // nil: accepted

	mu         sync.Mutex // guards what follows
	begun      int
	aborted    []string
	parts      map[int][]byte // of the newest upload
	completion []byte
}

func (u *uploads) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client went away
	}
	query := r.URL.Query()
	switch id := query.Get("uploadId"); {
	case r.Method == http.MethodPost && query.Has("uploads"):
		u.mu.Lock()
		u.begun++
		u.parts = make(map[int][]byte)
		name := "upload-" + strconv.Itoa(u.begun)
		u.mu.Unlock()
		answer(w, begunUpload{ID: name})
	case r.Method == http.MethodPut && id != "":
		number, _ := strconv.Atoi(query.Get("partNumber"))
		u.mu.Lock()
		u.parts[number] = body
		u.mu.Unlock()
		if u.part != nil {
			u.part(w, r)
			return
		}
		w.Header().Set("ETag", strconv.Quote("part-"+query.Get("partNumber")))
	case r.Method == http.MethodPost && id != "":
		u.mu.Lock()
		u.completion = body
		u.mu.Unlock()
		if u.complete != nil {
			u.complete(w, r)
			return
		}
		answer(w, struct {
			XMLName xml.Name `xml:"CompleteMultipartUploadResult"`
			ETag    string
		}{ETag: `"whole-3"`})
	case r.Method == http.MethodDelete && id != "":
		u.mu.Lock()
		u.aborted = append(u.aborted, id)
		u.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	default:
		u.t.Errorf("unexpected request %s %s", r.Method, r.URL)
		w.WriteHeader(http.StatusTeapot)
	}
}

// state returns what the server saw.
func (u *uploads) state() (begun int, aborted []string, parts map[int][]byte, complete string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.begun, u.aborted, u.parts, string(u.completion)
}

// inParts makes objects of more than a byte multipart uploads.
func inParts() s3cas.Options {
	return s3cas.Options{SinglePutBytes: 1, PartBytes: 5 << 20}
}

// A large object goes up in parts that are put together in order.
func TestPutParts(t *testing.T) {
	t.Parallel()
	u := &uploads{t: t}
	d := serve(t, inParts(), u)
	body := pattern(10<<20 + 17)
	if err := d.Put(t.Context(), "k", body); err != nil {
		t.Fatalf("Put: %v", err)
	}
	begun, aborted, parts, complete := u.state()
	if begun != 1 || len(aborted) != 0 || len(parts) != 3 {
		t.Fatalf("%d uploads begun, %d aborted, %d parts, want 1, 0, 3", begun, len(aborted), len(parts))
	}
	if got := bytes.Join([][]byte{parts[1], parts[2], parts[3]}, nil); !bytes.Equal(got, body) {
		t.Errorf("the parts together have %d bytes and are not the body of %d", len(got), len(body))
	}
	first, second, third := strings.Index(complete, "part-1"), strings.Index(complete, "part-2"), strings.Index(complete, "part-3")
	if first < 0 || second < first || third < second {
		t.Errorf("completed with %q, want the three parts in order", complete)
	}
}

// An upload that fails is aborted, whatever fails.
func TestPutPartsAborts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		server *uploads
		reason s3cas.Reason
		kind   error
	}{
		"part refused":     {&uploads{part: refuse(http.StatusForbidden, "AccessDenied", "no")}, s3cas.ReasonDenied, lashstore.ErrReadOnly},
		"no space":         {&uploads{part: refuse(http.StatusInsufficientStorage, "XMinioStorageFull", "full")}, s3cas.ReasonFull, lashstore.ErrDiskFull},
		"part hung up":     {&uploads{part: hangUp}, s3cas.ReasonOther, lashstore.ErrStorage},
		"part has no etag": {&uploads{part: respond(http.StatusOK, nil)}, s3cas.ReasonNotS3, lashstore.ErrStorage},
		"not completed": {
			&uploads{complete: refuse(http.StatusBadRequest, "InvalidPart", "no")}, s3cas.ReasonOther, lashstore.ErrStorage,
		},
		"error with status 200": {
			&uploads{complete: refuse(http.StatusOK, "InternalError", "no")}, s3cas.ReasonOther, lashstore.ErrStorage,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.server.t = t
			d := serve(t, inParts(), test.server)
			wantError(t, d.Put(t.Context(), "k", pattern(6<<20)), test.reason, test.kind)
			begun, aborted, _, _ := test.server.state()
			if begun != 1 || len(aborted) != 1 || aborted[0] != "upload-1" {
				t.Errorf("%d uploads begun, aborted %v, want the one aborted", begun, aborted)
			}
		})
	}
}

// An upload that cannot be begun leaves nothing to abort; one that cannot be aborted
// is reported beside the reason.
func TestPutPartsCannotAbort(t *testing.T) {
	t.Parallel()
	denied := refuse(http.StatusForbidden, "AccessDenied", "no")
	_, d := script(t, inParts(), denied)
	wantError(t, d.Put(t.Context(), "k", pattern(2)), s3cas.ReasonDenied, lashstore.ErrReadOnly)
	_, d = script(t, inParts(), respondXML(begunUpload{}))
	wantError(t, d.Put(t.Context(), "k", pattern(2)), s3cas.ReasonNotS3, lashstore.ErrStorage)
	_, d = script(t, inParts(), respondXML(begunUpload{ID: "one"}), refuse(http.StatusInsufficientStorage, "XMinioStorageFull", "full"), denied)
	err := d.Put(t.Context(), "k", pattern(2))
	wantError(t, err, s3cas.ReasonFull, lashstore.ErrDiskFull)
	if !strings.Contains(err.Error(), "s3:AbortMultipartUpload") {
		t.Errorf("got error %v, want what is missing for aborting too", err)
	}
	_, d = script(t, inParts(), respondXML(begunUpload{ID: "one"}), denied, refuse(http.StatusNotFound, "NoSuchUpload", "gone"))
	err = d.Put(t.Context(), "k", pattern(2))
	wantError(t, err, s3cas.ReasonDenied, lashstore.ErrReadOnly)
	if strings.Contains(err.Error(), "NoSuchUpload") {
		t.Errorf("got error %v, want no complaint about an upload that is gone", err)
	}
}

// begunUpload is the answer to CreateMultipartUpload.
type begunUpload struct {
	XMLName xml.Name `xml:"InitiateMultipartUploadResult"`
	ID      string   `xml:"UploadId"`
}

// A context that ends during an upload ends it, and the upload is aborted although
// the context is done.
func TestPutPartsCanceled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	u := &uploads{t: t, part: func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done() // the client hangs up
	}}
	d := serve(t, inParts(), u)
	if err := d.Put(ctx, "k", pattern(11<<20)); !errors.Is(err, context.Canceled) {
		t.Errorf("Put: got error %v, want context.Canceled", err)
	}
	if _, aborted, _, _ := u.state(); len(aborted) != 1 {
		t.Errorf("aborted %v, want the upload", aborted)
	}
}

// An upload that is unknown when it is completed is made once more: its answer may
// have been lost after it was completed, or somebody aborted it.
func TestPutPartsUnknownUpload(t *testing.T) {
	t.Parallel()
	var once sync.Once
	u := &uploads{t: t}
	u.complete = func(w http.ResponseWriter, r *http.Request) {
		step := respondXML(struct {
			XMLName xml.Name `xml:"CompleteMultipartUploadResult"`
			ETag    string
		}{ETag: `"whole"`})
		once.Do(func() { step = refuse(http.StatusNotFound, "NoSuchUpload", "unknown") })
		step(w, r)
	}
	d := serve(t, inParts(), u)
	if err := d.Put(t.Context(), "k", pattern(5<<20+1)); err != nil {
		t.Fatalf("Put: %v", err)
	}
	if begun, _, parts, _ := u.state(); begun != 2 || len(parts) != 2 {
		t.Errorf("%d uploads begun, %d parts in the last, want 2 and 2", begun, len(parts))
	}
	always := &uploads{t: t, complete: refuse(http.StatusNotFound, "NoSuchUpload", "unknown")}
	d = serve(t, inParts(), always)
	wantError(t, d.Put(t.Context(), "k", pattern(5<<20+1)), s3cas.ReasonOther, lashstore.ErrStorage)
	if begun, _, _, _ := always.state(); begun != 2 {
		t.Errorf("%d uploads begun, want no more than 2", begun)
	}
}
