package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/filecas"
)

const (
	// probePrefix is where probe objects lie: below no tenant, and beside those of
	// s3cas, whose names have no folder.
	probePrefix = "lashstore-doctor/round-trip/"
	// probeBytes is more than what one packet of a network carries.
	probeBytes = 64 << 10
	// probeCleanUp bounds how long a probe object may take to remove after a check
	// was interrupted.
	probeCleanUp = 10 * time.Second
)

// checkStore opens the catalog without writing. It reports false if the catalog is
// damaged or belongs to another bucket; one that is not there yet is no fault.
func (d *doctor) checkStore(ctx context.Context, t tier) bool {
	if !d.found {
		d.add(areaStore, "catalog", healthy("none yet; the first write makes it"))
		return true
	}
	store, err := d.app.openOn(ctx, t, true)
	if errors.Is(err, errNoData) {
		d.add(areaStore, "catalog", healthy("none of this tenant yet; the first write makes it"))
		return true
	}
	if err == nil {
		_, err = store.ListSessions(ctx, lashstore.ListSessions{Limit: 1})
		err = errors.Join(err, store.Close())
	}
	if err != nil {
		d.add(areaStore, "catalog", broken(err, hintOf(err)))
		return false
	}
	d.catalog = true
	d.add(areaStore, "catalog", healthy("can be read, and fits what holds the large content"))
	return true
}

// roundTrip takes an object the way that content takes: through envelope, cache and
// driver and back.
func (d *doctor) roundTrip(ctx context.Context, t tier) {
	driver := t.driver
	if driver == nil {
		files, err := filecas.Open(filepath.Join(d.doc.Dir, "blobs"), filecas.Options{Now: d.app.now})
		if err != nil {
			d.add(areaStore, "round_trip", broken(err, hintOf(err)))
			return
		}
		defer func() { _ = files.Close() }() // nothing is lost with a handle on a folder
		driver = files
	}
	if err := d.carry(ctx, driver); err != nil {
		d.add(areaStore, "round_trip", broken(err, hintOf(err)))
		return
	}
	cached := ""
	if d.app.flags.cacheDir != "" && t.driver != nil && d.app.flags.cacheSize > 0 {
		cached = ", through the cache in " + d.app.flags.cacheDir
	}
	d.add(areaStore, "round_trip", healthy("%s put, read back, verified and deleted%s", size(probeBytes), cached))
}

// carry puts an object, reads it, deletes it and looks for it.
func (d *doctor) carry(ctx context.Context, driver cas.Driver) (err error) {
	store, err := cas.New(driver, cas.Options{
		Profile: lashstore.Profile(d.app.flags.profile.value), Prefix: probePrefix, Now: d.app.now,
	})
	if err != nil {
		return err
	}
	content := make([]byte, probeBytes)
	if _, err := rand.Read(content); err != nil {
		return fmt.Errorf("make random content: %w", err)
	}
	generation, err := cas.NewGeneration(nil)
	if err != nil {
		return err
	}
	name := cas.ObjectName{Digest: lashstore.DigestOf(content), Generation: generation}
	stored, err := store.Encode(content, lashstore.StandardDescriptor(lashstore.KindGeneric))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil { // it may be there, even if putting it failed
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeCleanUp)
			defer cancel()
			err = errors.Join(err, store.DeleteObjects(ctx, []cas.ObjectName{name}))
		}
	}()
	if err := store.PutObject(ctx, name, stored); err != nil {
		return err
	}
	got, err := store.GetObject(ctx, name)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, content) {
		return fmt.Errorf("read object %s: %d bytes that are not the %d that were put", name, len(got), len(content))
	}
	if err := store.DeleteObjects(ctx, []cas.ObjectName{name}); err != nil {
		return err
	}
	if _, err := store.StatObject(ctx, name); !errors.Is(err, lashstore.ErrBlobNotFound) {
		return fmt.Errorf("look for object %s after it was deleted: %w", name, errors.Join(err, errStillThere))
	}
	return nil
}

// errStillThere: an object outlived its deletion.
var errStillThere = errors.New("the object is still there, or cannot be looked for")
