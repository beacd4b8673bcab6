package faultproxy

import (
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Op is what a request asks of S3, told by its method, path and query (Amazon S3
// API, path-style addresses).
type Op string

// The operations that are told apart.
const (
	OpPut         Op = "put_object"
	OpGet         Op = "get_object"
	OpHead        Op = "head_object"
	OpDelete      Op = "delete_object"
	OpDeletes     Op = "delete_objects"
	OpList        Op = "list_objects"
	OpHeadBucket  Op = "head_bucket"
	OpCreate      Op = "create_upload"
	OpPart        Op = "upload_part"
	OpComplete    Op = "complete_upload"
	OpAbort       Op = "abort_upload"
	OpListUploads Op = "list_uploads"
	OpOther       Op = "other"
)

// opOf tells the operation of a request.
func opOf(method string, u *url.URL) Op {
	_, key, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	query := u.Query()
	switch {
	case key == "" && method == http.MethodGet && query.Has("uploads"):
		return OpListUploads
	case key == "" && method == http.MethodGet:
		return OpList
	case key == "" && method == http.MethodHead:
		return OpHeadBucket
	case key == "" && method == http.MethodPost && query.Has("delete"):
		return OpDeletes
	case key == "":
		return OpOther
	case query.Has("uploadId"):
		return opOfUpload(method)
	case method == http.MethodPost && query.Has("uploads"):
		return OpCreate
	}
	switch method {
	case http.MethodPut:
		return OpPut
	case http.MethodGet:
		return OpGet
	case http.MethodHead:
		return OpHead
	case http.MethodDelete:
		return OpDelete
	default:
		return OpOther
	}
}

// opOfUpload tells the operation of a request that names an upload.
func opOfUpload(method string) Op {
	switch method {
	case http.MethodPut:
		return OpPart
	case http.MethodPost:
		return OpComplete
	case http.MethodDelete:
		return OpAbort
	default:
		return OpOther
	}
}

// Request is what a script sees of a request.
type Request struct {
	N      int // its number, from 1
	Op     Op
	Method string
	Path   string // decoded, with the bucket
	Range  string // its header, if it has one
	Bytes  int64  // of the body; -1 if it does not say
}

// Key returns the key of the object: the path without the bucket.
func (r Request) Key() string {
	_, key, _ := strings.Cut(strings.TrimPrefix(r.Path, "/"), "/")
	return key
}

// Script chooses the fault of a request. The proxy calls it for one request at a time,
// so it may keep what it needs without a lock. It must not call the proxy.
type Script func(Request) Fault

// Always gives a fault to all requests of the operations; without operations, to all.
func Always(f Fault, ops ...Op) Script { return Nth(0, f, ops...) }

// Once gives a fault to the first request of the operations.
func Once(f Fault, ops ...Op) Script { return Nth(1, f, ops...) }

// Nth gives a fault to the n-th request of the operations, counted from 1; 0 means to
// each of them. Without operations, all requests count.
func Nth(n int, f Fault, ops ...Op) Script {
	seen := 0
	return func(r Request) Fault {
		if len(ops) > 0 && !slices.Contains(ops, r.Op) {
			return Pass()
		}
		seen++
		if n != 0 && seen != n {
			return Pass()
		}
		return f
	}
}

// Random gives every n-th request on average one of the faults. The seed determines
// which, as far as the order of the requests is determined.
func Random(seed uint64, n int, faults ...Fault) Script {
	rng := rand.New(rand.NewPCG(seed, uint64(len(faults)))) //nolint:gosec // faults have to repeat
	return func(Request) Fault {
		if rng.IntN(n) != 0 {
			return Pass()
		}
		return faults[rng.IntN(len(faults))]
	}
}
