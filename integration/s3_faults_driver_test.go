package integration_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/s3cas"
	"github.com/lashstore/lashstore/internal/faultproxy"
	"github.com/lashstore/lashstore/internal/testenv"
)

// faultBody is more than what one packet or buffer holds.
var faultBody = bytes.Repeat([]byte("0123456789abcdef"), 4096)

// faultyOp is something that a driver does, and the request of it that meets a fault.
type faultyOp struct {
	name string
	op   faultproxy.Op
	opts s3cas.Options
	// prepared is whether the object is there before.
	prepared bool
	// run does it and compares what it says.
	run func(ctx context.Context, d cas.Driver, key string) error
	// after checks what the server holds once it succeeded.
	after func(ctx context.Context, d cas.Driver, key string) error
	// requests bounds how many requests of op there may be when all of them fail.
	requests int
}

func faultyOps() []faultyOp {
	whole := func(ctx context.Context, d cas.Driver, key string) error { return read(ctx, d, key, 0, -1, faultBody) }
	gone := func(ctx context.Context, d cas.Driver, key string) error {
		if _, err := d.Stat(ctx, key); !errors.Is(err, cas.ErrObjectNotFound) {
			return fmt.Errorf("after it was deleted: %w", err)
		}
		return nil
	}
	there := func(context.Context, cas.Driver, string) error { return nil }
	put := func(ctx context.Context, d cas.Driver, key string) error { return d.Put(ctx, key, faultBody) }
	// A connection that was used before may break without counting as an attempt.
	const each = faultAttempts + 1
	ops := []faultyOp{
		{"put", faultproxy.OpPut, s3cas.Options{}, false, put, whole, each},
		// A transfer is continued as often as a request is sent, by such requests.
		{"get", faultproxy.OpGet, s3cas.Options{}, true, whole, whole, (faultAttempts+1)*faultAttempts + 1},
		{"get a range", faultproxy.OpGet, s3cas.Options{}, true, func(ctx context.Context, d cas.Driver, key string) error {
			return read(ctx, d, key, 1001, 5003, faultBody[1001:6004])
		}, whole, (faultAttempts+1)*faultAttempts + 1},
		{"stat", faultproxy.OpHead, s3cas.Options{}, true, func(ctx context.Context, d cas.Driver, key string) error {
			info, err := d.Stat(ctx, key)
			if err == nil && (info.Key != key || info.SizeBytes != int64(len(faultBody)) || info.ModTime.IsZero()) {
				return fmt.Errorf("%w: %+v", errWrongBytes, info)
			}
			return err
		}, whole, each},
		{"stat of an absent object", faultproxy.OpHeadBucket, s3cas.Options{}, false, func(ctx context.Context, d cas.Driver, key string) error {
			if info, err := d.Stat(ctx, key); !errors.Is(err, cas.ErrObjectNotFound) {
				return errors.Join(err, fmt.Errorf("found %+v", info))
			}
			return nil
		}, there, each},
		{"delete", faultproxy.OpDelete, s3cas.Options{}, true, func(ctx context.Context, d cas.Driver, key string) error {
			return d.Delete(ctx, []string{key})
		}, gone, each},
		{"delete two", faultproxy.OpDeletes, s3cas.Options{}, true, func(ctx context.Context, d cas.Driver, key string) error {
			return d.Delete(ctx, []string{key, key + "-absent"})
		}, gone, each},
		{"list", faultproxy.OpList, s3cas.Options{}, true, func(ctx context.Context, d cas.Driver, key string) error {
			infos, err := d.List(ctx, key, "", 10)
			if err == nil && (len(infos) != 1 || infos[0].Key != key || infos[0].SizeBytes != int64(len(faultBody))) {
				return fmt.Errorf("%w: %+v", errWrongBytes, infos)
			}
			return err
		}, whole, each},
	}
	for _, op := range []faultproxy.Op{faultproxy.OpCreate, faultproxy.OpPart, faultproxy.OpComplete} {
		// An upload that is unknown is made a second time.
		ops = append(ops, faultyOp{"put in parts", op, s3cas.Options{SinglePutBytes: 1}, false, put, whole, 2 * each})
	}
	return ops
}

// faultRow is a fault and what it may do at worst.
type faultRow struct {
	fault faultproxy.Fault
	// once must be made up for by repeating the request.
	once bool
	// always must fail, since no answer gets through.
	always bool
	// lie is an answer that is wrong and looks right: what it says of objects may be
	// wrong, which the layer above finds by their digests.
	lie bool
	// cheap rows are tried on slow servers too.
	cheap bool
}

func faultRows() []faultRow {
	return []faultRow{
		{fault: faultproxy.Refuse(), once: true, always: true},
		{fault: faultproxy.ResetBeforeBody(), once: true, always: true},
		{fault: faultproxy.ResetDuringBody(), once: true, always: true, cheap: true},
		{fault: faultproxy.ResetAfterBody(), once: true, always: true},
		{fault: faultproxy.ResetDuringAnswer(), once: true, always: true},
		{fault: faultproxy.SlowDown(), once: true, always: true},
		{fault: faultproxy.InternalError(), once: true, always: true},
		{fault: faultproxy.RequestTimeout(), once: true, always: true},
		{fault: faultproxy.TooManyRequests(), once: true, always: true},
		{fault: faultproxy.Cut(), once: true, always: true, cheap: true},
		{fault: faultproxy.DropAnswer(), once: true, always: true, cheap: true},
		{fault: faultproxy.WrongLength(64)}, // of a whole object, that it has another size
		{fault: faultproxy.Twice(), once: true},
		{fault: faultproxy.WrongLength(-1), lie: true},
		{fault: faultproxy.CutDeclared(1), lie: true},
		{fault: faultproxy.CutDeclared(1 << 20), lie: true},
		{fault: faultproxy.FlipAnswer(8 * 97), lie: true},
		{fault: faultproxy.FlipRequest(8 * 97)},
	}
}

// Whatever happens to a request, once or each time: the driver does what it was asked
// or says by a typed error that it could not, after a bounded number of attempts;
// it works afterwards, and nothing is left half done.
func TestS3FaultsOfEachRequest(t *testing.T) {
	t.Parallel()
	eachS3(t, func(t *testing.T, server testenv.S3Server) {
		t.Helper()
		f := newFaultyS3(t, server)
		for _, op := range faultyOps() {
			for _, row := range faultRows() {
				for _, often := range []string{"once", "always"} {
					if isSlow(server) && (often == "always" || !row.cheap) {
						continue
					}
					name := fmt.Sprintf("%s/%s/%s/%s", op.name, op.op, row.fault, often)
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						f.behind(t).oneFault(op, row, often == "always")
					})
				}
			}
		}
	})
}

// straysOf says which uploads a fault of one request may leave behind.
func straysOf(op faultproxy.Op, fault faultproxy.Fault) strays {
	if op == faultproxy.OpCreate && fault.ActsFirst() {
		return unanswered
	}
	return noStrays
}

// oneFault runs an operation of which a request meets a fault, and again without.
func (f *faultyS3) oneFault(op faultyOp, row faultRow, always bool) {
	t := f.t
	t.Helper()
	ctx, key, d := t.Context(), f.key(), f.open(op.opts)
	if op.prepared {
		f.put(key, faultBody)
	}
	script := faultproxy.Once(row.fault, op.op)
	if always {
		script = faultproxy.Always(row.fault, op.op)
	}
	f.proxy.Follow(script)
	err := op.run(ctx, d, key)
	switch n := f.proxy.Count(op.op); {
	case n == 0:
		t.Fatalf("no request met the fault: %v", err)
	case n > op.requests:
		t.Errorf("%d requests, want at most %d", n, op.requests)
	}
	bit := f.proxy.Counts()[row.fault.Kind()] > 0
	switch {
	case err == nil && always && row.always:
		t.Error("it succeeded although no request was answered")
	case errors.Is(err, errWrongBytes) && row.lie:
	case err != nil && (!bit || row.once && !always):
		t.Errorf("it failed, though a repetition would have helped: %v", err)
	case err != nil:
		if err := typedS3(err); err != nil {
			t.Error(err)
		}
	case !row.lie && (row.fault.Kind() != faultproxy.KindFlipRequest || f.verifiesBody(op.op)):
		if err := op.after(ctx, f.direct, key); err != nil {
			t.Error(err)
		}
	}
	f.noUploads(straysOf(op.op, row.fault))
	f.proxy.Heal()
	if err := op.run(ctx, d, key); err != nil {
		t.Errorf("without the fault: %v", err)
	}
	if err := op.after(ctx, f.direct, key); err != nil {
		t.Errorf("in the end: %v", err)
	}
	f.noUploads(noStrays)
}

// A request may be held up on its way, and then do what it has to. It may also arrive
// after its client gave it up and sent it again: what that did must stay done.
func TestS3LateRequests(t *testing.T) {
	t.Parallel()
	eachFastS3(t, func(t *testing.T, server testenv.S3Server) {
		t.Helper()
		f := newFaultyS3(t, server)
		for _, op := range faultyOps() {
			t.Run(fmt.Sprintf("held up/%s/%s", op.name, op.op), func(t *testing.T) {
				t.Parallel()
				f := f.behind(t)
				d, key, gate := f.open(op.opts), f.key(), faultproxy.NewGate()
				if op.prepared {
					f.put(key, faultBody)
				}
				f.proxy.Follow(faultproxy.Once(faultproxy.Hold(gate), op.op))
				done := make(chan error, 1)
				go func() { done <- op.run(t.Context(), d, key) }()
				select {
				case <-gate.Arrived():
				case <-time.After(patience):
					t.Error("the request did not come")
				}
				gate.Release()
				if err := errors.Join(<-done, op.after(t.Context(), f.direct, key)); err != nil {
					t.Error(err)
				}
			})
			t.Run(fmt.Sprintf("late/%s/%s", op.name, op.op), func(t *testing.T) {
				t.Parallel()
				f := f.behind(t)
				d, key, gate := f.open(op.opts), f.key(), faultproxy.NewGate()
				if op.prepared {
					f.put(key, faultBody)
				}
				f.proxy.Follow(faultproxy.Once(faultproxy.Late(gate), op.op))
				err := op.run(t.Context(), d, key)
				gate.Release()
				if err := errors.Join(err, d.Close()); err != nil {
					t.Error(err)
				}
				f.proxy.Settle()
				if err := op.after(t.Context(), f.direct, key); err != nil {
					t.Error(err)
				}
				f.noUploads(straysOf(op.op, faultproxy.DropAnswer()))
			})
		}
	})
}

// A server that takes requests and never answers must not keep the caller for ever,
// though the context has no end.
func TestS3SilentServer(t *testing.T) {
	t.Parallel()
	eachFastS3(t, func(t *testing.T, server testenv.S3Server) {
		t.Helper()
		f := newFaultyS3(t, server)
		for _, op := range faultyOps() {
			t.Run(fmt.Sprintf("%s/%s", op.name, op.op), func(t *testing.T) {
				t.Parallel()
				f := f.behind(t)
				opts := op.opts
				// Short, since it has to pass; the requests that are answered may repeat.
				opts.AttemptTimeout, opts.MaxAttempts = 500*time.Millisecond, 2
				impatient, key := f.open(opts), f.key()
				if op.prepared {
					f.put(key, faultBody)
				}
				f.proxy.Follow(faultproxy.Always(faultproxy.Hold(faultproxy.NewGate()), op.op))
				err := op.run(t.Context(), impatient, key)
				failed, ok := errors.AsType[*s3cas.Error](err)
				if !ok || failed.Reason != s3cas.ReasonTimeout || failed.Hint == "" || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v, want a timeout with a hint that is not the context's", err)
				}
				if err := impatient.Close(); err != nil {
					t.Error(err)
				}
				f.proxy.Heal()
				f.noUploads(straysOf(op.op, faultproxy.DropAnswer()))
				d := f.open(op.opts)
				if err := errors.Join(op.run(t.Context(), d, key), op.after(t.Context(), f.direct, key)); err != nil {
					t.Errorf("once the server answers: %v", err)
				}
			})
		}
	})
}

// An upload whose part fails is aborted, though the abort meets a fault too.
func TestS3AbortIsRepeated(t *testing.T) {
	t.Parallel()
	eachFastS3(t, func(t *testing.T, server testenv.S3Server) {
		t.Helper()
		f := newFaultyS3(t, server)
		for _, row := range faultRows() {
			if !row.once {
				continue
			}
			t.Run(row.fault.String(), func(t *testing.T) {
				t.Parallel()
				f := f.behind(t)
				d := f.open(s3cas.Options{SinglePutBytes: 1, PartBytes: 5 << 20})
				abort := faultproxy.Once(row.fault, faultproxy.OpAbort)
				part := faultproxy.Nth(2, faultproxy.Status(400, "InvalidPart"), faultproxy.OpPart)
				f.proxy.Follow(func(r faultproxy.Request) faultproxy.Fault {
					if r.Op == faultproxy.OpAbort {
						return abort(r)
					}
					return part(r)
				})
				err := d.Put(t.Context(), f.key(), make([]byte, 5<<20+1))
				if err == nil || typedS3(err) != nil {
					t.Errorf("got %v, want a typed error of the part", err)
				}
				if n := f.proxy.Count(faultproxy.OpAbort); n == 0 {
					t.Error("nothing was aborted")
				}
				f.noUploads(racing) // the other part may be on its way
				if _, err := f.direct.Stat(t.Context(), f.key()); !errors.Is(err, cas.ErrObjectNotFound) {
					t.Errorf("the object: %v, want that there is none", err)
				}
			})
		}
	})
}

// A transfer that breaks is continued. If the object is another one by then, the two
// halves must not be put together.
func TestS3ReplacedWhileRead(t *testing.T) {
	t.Parallel()
	eachFastS3(t, func(t *testing.T, server testenv.S3Server) {
		t.Helper()
		for name, replace := range map[string]func(*faultyS3, string) error{
			"by other bytes": func(f *faultyS3, key string) error {
				return f.direct.Put(f.t.Context(), key, bytes.ToUpper(faultBody))
			},
			"by fewer bytes": func(f *faultyS3, key string) error { return f.direct.Put(f.t.Context(), key, faultBody[:100]) },
			"by nothing":     func(f *faultyS3, key string) error { return f.direct.Delete(f.t.Context(), []string{key}) },
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f := newFaultyS3(t, server)
				d, key, gate := f.open(s3cas.Options{}), f.key(), faultproxy.NewGate()
				f.put(key, faultBody)
				cut := faultproxy.Once(faultproxy.Cut())
				held := faultproxy.Nth(2, faultproxy.Hold(gate))
				f.proxy.Follow(func(r faultproxy.Request) faultproxy.Fault {
					if fault := held(r); fault.Kind() != faultproxy.KindPass {
						return fault
					}
					return cut(r)
				})
				type result struct {
					got []byte
					err error
				}
				done := make(chan result, 1)
				go func() {
					r, err := d.Get(t.Context(), key, 0, -1)
					if err != nil {
						done <- result{nil, err}
						return
					}
					got, err := io.ReadAll(r)
					done <- result{got, errors.Join(err, r.Close())}
				}()
				select {
				case <-gate.Arrived():
				case <-time.After(patience):
					t.Error("the transfer was not continued")
				}
				err := replace(f, key)
				gate.Release()
				res := <-done
				if err != nil {
					t.Fatal(err)
				}
				if res.err == nil || !errors.Is(res.err, cas.ErrObjectNotFound) && typedS3(res.err) != nil {
					t.Errorf("got %v, want a typed error", res.err)
				}
				if !slices.Equal(res.got, faultBody[:len(res.got)]) {
					t.Error("bytes of two objects were put together")
				}
			})
		}
	})
}
