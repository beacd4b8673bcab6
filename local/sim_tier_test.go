package local_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/lashstore/lashstore/cas"
)

// errInjected is what the simulated object store answers when it fails, or when its
// answer is lost.
var errInjected = errors.New("injected failure of the object store")

// simTier is an object store whose requests may take effect late, twice, in another
// order, or although the answer was a failure. Processes see it through a [simDriver].
type simTier struct {
	objects map[string]simObject
	pending []simEffect // of requests that were sent and have not landed
	changes int
	faults  map[bool]simFault // of the next delete, and of the next put
}

func newSimTier() *simTier {
	return &simTier{objects: make(map[string]simObject), faults: make(map[bool]simFault)}
}

type simObject struct {
	body []byte
	mod  time.Time
}

// simEffect is a request on its way.
type simEffect struct {
	key    string
	delete bool
	body   []byte // of a put
}

func (e simEffect) String() string {
	if e.delete {
		return "delete of " + shortKey(e.key)
	}
	return "put of " + shortKey(e.key)
}

// shortKey is a key as a history shows it: shard, digest and generation, cut.
func shortKey(key string) string {
	name := key[strings.LastIndexByte(key, '/')+1:]
	if digest, generation, ok := strings.Cut(name, "."); ok && len(digest) > 4 && len(generation) > 4 {
		return digest[:4] + "." + generation[:4]
	}
	return name
}

// simFault is what becomes of a request.
type simFault int

const (
	faultNone   simFault = iota
	faultRefuse          // it fails, and nothing happens
	faultLose            // it takes effect, and the answer is lost
	faultDelay           // a delete is acknowledged, a put times out; both land later
	faultRepeat          // it takes effect now and once more later
	faultPart            // a delete fails for every other key
	simFaults            // their number
)

func (f simFault) String() string {
	return [...]string{"none", "refused", "answer lost", "late", "twice", "in part"}[f]
}

// apply makes an effect land.
func (s *simTier) apply(e simEffect, now time.Time) {
	s.changes++
	if e.delete {
		delete(s.objects, e.key)
		return
	}
	s.objects[e.key] = simObject{body: e.body, mod: now}
}

// land makes a pending effect land.
func (s *simTier) land(i int, now time.Time) simEffect {
	e := s.pending[i]
	s.pending = slices.Delete(s.pending, i, i+1)
	s.apply(e, now)
	return e
}

// simDriver is how a process sees the tier. Each request stops before and after it.
type simDriver struct{ p *simProcess }

var _ cas.Driver = simDriver{}

func (d simDriver) Put(ctx context.Context, key string, body []byte) error {
	return d.change(ctx, "put", simEffect{key: key, body: bytes.Clone(body)})
}

func (d simDriver) Delete(ctx context.Context, keys []string) error {
	effects := make([]simEffect, len(keys))
	for i, key := range keys {
		effects[i] = simEffect{key: key, delete: true}
	}
	return d.change(ctx, "delete", effects...)
}

func (d simDriver) change(ctx context.Context, op string, effects ...simEffect) error {
	w := d.p.world
	d.p.send("tier: "+op, effects)
	if err := d.ended(ctx, op); err != nil {
		return err
	}
	deletes := effects[0].delete
	fault := w.tier.faults[deletes]
	delete(w.tier.faults, deletes)
	if fault == faultPart && len(effects) == 1 {
		fault = faultRefuse
	}
	if fault != faultNone {
		w.note(fmt.Sprintf("%s %s", op, fault))
	}
	for i, e := range effects {
		switch {
		case fault == faultRefuse, fault == faultPart && i%2 == 0:
		case fault == faultDelay:
			w.tier.pending = append(w.tier.pending, e)
		case fault == faultRepeat:
			w.tier.pending = append(w.tier.pending, e)
			w.tier.apply(e, w.wall)
		default:
			w.tier.apply(e, w.wall)
		}
	}
	d.p.stop("tier: after " + op)
	switch {
	case fault == faultRefuse, fault == faultLose, fault == faultDelay && !deletes:
		return fmt.Errorf("%s %s: %w", op, effects[0].key, errInjected)
	case fault == faultPart:
		failed := make(map[string]error)
		for i := 0; i < len(effects); i += 2 {
			failed[effects[i].key] = errInjected
		}
		return &cas.DeleteError{Failed: failed}
	}
	return nil
}

// ended ends requests of calls that are over.
func (d simDriver) ended(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if d.p.world.over.Load() {
		return fmt.Errorf("%s after the end: %w", op, errInjected)
	}
	return nil
}

func (d simDriver) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	d.p.stop("tier: get")
	o, err := d.find(ctx, "get", key)
	if err != nil {
		return nil, err
	}
	body := o.body[min(offset, int64(len(o.body))):]
	if length >= 0 {
		body = body[:min(length, int64(len(body)))]
	}
	return io.NopCloser(bytes.NewReader(body)), nil
}

func (d simDriver) Stat(ctx context.Context, key string) (cas.ObjectInfo, error) {
	d.p.stop("tier: stat")
	o, err := d.find(ctx, "stat", key)
	return cas.ObjectInfo{Key: key, SizeBytes: int64(len(o.body)), ModTime: o.mod}, err
}

func (d simDriver) find(ctx context.Context, op, key string) (simObject, error) {
	if err := d.ended(ctx, op); err != nil {
		return simObject{}, err
	}
	o, ok := d.p.world.tier.objects[key]
	if !ok {
		return o, fmt.Errorf("%s %s: %w", op, key, cas.ErrObjectNotFound)
	}
	return o, nil
}

func (d simDriver) List(ctx context.Context, prefix, after string, limit int) ([]cas.ObjectInfo, error) {
	d.p.stop("tier: list")
	if err := d.ended(ctx, "list"); err != nil {
		return nil, err
	}
	var infos []cas.ObjectInfo
	for key, o := range d.p.world.tier.objects {
		if key > after && strings.HasPrefix(key, prefix) {
			infos = append(infos, cas.ObjectInfo{Key: key, SizeBytes: int64(len(o.body)), ModTime: o.mod})
		}
	}
	slices.SortFunc(infos, func(a, b cas.ObjectInfo) int { return strings.Compare(a.Key, b.Key) })
	return infos[:min(limit, len(infos))], nil
}
