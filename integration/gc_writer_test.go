package integration_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"golang.org/x/sync/errgroup"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/filecas"
	"github.com/lashstore/lashstore/cas/s3cas"
	"github.com/lashstore/lashstore/internal/testenv"
	"github.com/lashstore/lashstore/local"
)

// victimPrefix begins the ids of sessions that a deleting process deletes while a
// writing process writes to them.
const victimPrefix = "victim-"

// uploadLife is for how long uploads are protected: long enough for one to be read
// again, and short enough for collections to let go of it.
const uploadLife = 3 * time.Second

// uploadPause leaves the processors to others.
const uploadPause = 30 * time.Millisecond

// gcPlace is a data directory and the tier of its objects.
type gcPlace struct {
	Dir      string
	Server   testenv.S3Server // no name: the tier is the directory's own folder
	Location s3cas.Location
}

func (p gcPlace) inBucket() bool { return p.Server.Name != "" }

// driver opens the tier.
func (p gcPlace) driver(ctx context.Context) (cas.Driver, func() error, error) {
	if !p.inBucket() {
		d, err := filecas.Open(p.Dir+"/blobs", filecas.Options{NoSync: true})
		if err != nil {
			return nil, nil, err
		}
		return d, d.Close, nil
	}
	d, err := s3cas.Open(ctx, p.Location, s3cas.Options{
		Credentials: credentials.NewStaticCredentialsProvider(p.Server.Key, p.Server.Secret, ""),
	})
	if err != nil {
		return nil, nil, err
	}
	return d, d.Close, nil
}

// open opens the store; the returned function closes it and its driver.
func (p gcPlace) open(ctx context.Context, opts local.Options) (*local.Store, func() error, error) {
	opts.Retention = lashstore.Retention{Revisions: retained}
	opts.Durability = lashstore.DurabilityNormal // the machine does not die
	closeDriver := func() error { return nil }
	if p.inBucket() {
		var err error
		if opts.Driver, closeDriver, err = p.driver(ctx); err != nil {
			return nil, nil, err
		}
		opts.TierName = s3cas.Location{Bucket: p.Location.Bucket, Prefix: p.Location.Prefix, Endpoint: p.Location.Endpoint}.String()
	}
	store, err := local.Open(ctx, p.Dir, opts)
	if err != nil {
		return nil, nil, errors.Join(err, closeDriver())
	}
	return store, func() error { return errors.Join(store.Close(), closeDriver()) }, nil
}

// gcTask is what a process does beside collectors until it is killed.
type gcTask struct {
	writerTask
	Place gcPlace
	// Deletes makes it one that deletes others' sessions, and uploads; else it writes.
	Deletes bool
}

// writeCollected is the process that writes, or deletes.
func writeCollected(ctx context.Context, c *child) error {
	var task gcTask
	if err := c.task(&task); err != nil {
		return err
	}
	w := &writer{writerTask: task.writerTask, child: c}
	opts := local.Options{Step: w.stumble}
	if task.Deletes { // the others' attachments must last until the end
		opts.UploadTTL = uploadLife
	}
	var err error
	if w.store, _, err = task.Place.open(ctx, opts); err != nil {
		return err
	}
	for _, id := range w.Unfinished {
		if err := w.delete(ctx, id); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	if task.Deletes {
		group.Go(func() error { return w.deleteVictims(ctx) })
		group.Go(func() error { return w.upload(ctx) })
		return group.Wait()
	}
	for _, id := range w.Sessions {
		group.Go(func() error { return w.readAndWrite(ctx, id) })
	}
	group.Go(func() error { return w.cycle(ctx) })
	group.Go(func() error { return w.beVictim(ctx) })
	return group.Wait()
}

// stumble makes the process stop for a while at some steps, so that collectors get in
// between, and die at the step that it is to die at.
func (w *writer) stumble(step string) {
	const (
		oneIn  = 40 // steps
		stopMS = 400
	)
	if rand.IntN(oneIn) == 0 {
		<-time.After(time.Duration(rand.IntN(stopMS)) * time.Millisecond)
	}
	w.step(step)
}

// readAndWrite commits to a session for as long as the process lives, once it has read
// all that the process before it left: what is lost may be written anew by the next
// commits, and nobody would know.
func (w *writer) readAndWrite(ctx context.Context, id lashstore.SessionID) error {
	load := workload{Seed: w.Seed, Session: id, Epoch: 1}
	h, err := w.create(ctx, load, false)
	if err != nil {
		return err
	}
	head, err := h.Head(ctx)
	if err != nil {
		return err
	}
	for rev := head.Revision; rev > 0 && rev+retained > head.Revision; rev-- {
		if err := checkRevision(ctx, h, load, rev, head.Revision); err != nil {
			return fmt.Errorf("session %s, revision %d, as it was left: %w", id, rev, err)
		}
	}
	return w.turns(ctx, h, load, 1<<20)
}

// random is a source of the process's own.
func (w *writer) random() *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(w.Name))
	return rand.New(rand.NewPCG(w.Seed, h.Sum64()))
}

// beVictim writes to a session until somebody deletes it, and then to the next.
func (w *writer) beVictim(ctx context.Context) error {
	for k := 0; ; k++ {
		load := workload{Seed: w.Seed, Session: lashstore.SessionID(fmt.Sprintf("%s%s-%d", victimPrefix, w.Name, k)), Epoch: 1}
		h, err := w.create(ctx, load, false)
		if err == nil {
			err = w.turns(ctx, h, load, 1<<20)
		}
		if !errors.Is(err, lashstore.ErrSessionDeleted) {
			return err
		}
	}
}

// deleteVictims deletes sessions that others write to.
func (w *writer) deleteVictims(ctx context.Context) error {
	const everyMS = 400
	r := w.random()
	for {
		page, err := w.store.ListSessions(ctx, lashstore.ListSessions{Order: lashstore.OrderID, Limit: lashstore.MaxListLimit})
		if err != nil {
			return err
		}
		var victims []lashstore.SessionID
		for _, s := range page.Sessions {
			if strings.HasPrefix(string(s.SessionID), victimPrefix) {
				victims = append(victims, s.SessionID)
			}
		}
		if len(victims) > 0 {
			if err := w.delete(ctx, victims[r.IntN(len(victims))]); err != nil {
				return err
			}
		}
		<-time.After(time.Duration(r.IntN(everyMS)) * time.Millisecond) // so that they come to hold something
	}
}

// upload uploads what sessions hold too, and what nobody does, and reads it back.
func (w *writer) upload(ctx context.Context) error {
	for n := lashstore.Revision(0); ; n++ {
		content := workload{Seed: w.Seed}.shared(n % 3)
		if n%2 == 1 {
			content = workload{Seed: w.Seed, Session: lashstore.SessionID(w.Name)}.blob(n)
		}
		began := time.Now()
		err := w.uploadOne(ctx, content)
		if errors.Is(err, lashstore.ErrBlobNotFound) && time.Since(began) >= uploadLife {
			err = nil // it was slow, and what protected it is over
		}
		if err != nil {
			return err
		}
		<-time.After(uploadPause)
	}
}

func (w *writer) uploadOne(ctx context.Context, content []byte) error {
	ref, err := w.store.PutBlob(ctx, bytes.NewReader(content), lashstore.PutBlobOptions{})
	if err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	got, err := readContent(w.store.OpenBlob(ctx, ref.Digest))
	if err != nil {
		return fmt.Errorf("read an upload: %w", err)
	}
	return differ("upload", content, got)
}
