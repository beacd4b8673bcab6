package bench

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/local"
	"github.com/lashstore/lashstore/metadata"
)

func gcCatalogOptions() metadata.CatalogOptions {
	return metadata.CatalogOptions{
		Durability: lashstore.DurabilityFull, BusyTimeout: local.DefaultBusyTimeout, Now: time.Now, Rand: rand.Reader,
	}
}

// gcWriter commits to a catalog that another process collects.
type gcWriter struct {
	catalog *metadata.Catalog
	holder  metadata.Holder
	held    []lashstore.Digest
}

// gcWriterEvery is how often it commits.
const gcWriterEvery = 5 * time.Millisecond

func newGCWriter(path string) *gcWriter {
	ctx := context.Background()
	w := &gcWriter{catalog: must(metadata.OpenCatalog(ctx, path, gcCatalogOptions()))}
	row, _, err := w.catalog.Admit(ctx, lashstore.SessionMeta{SessionID: "the-writer"}, false)
	check(err)
	w.holder = metadata.SessionHolder(row.Meta.SessionID, row.Incarnation)
	return w
}

// commit does with the catalog what a commit does that stores one object and drops one.
func (w *gcWriter) commit(l *latencies) {
	ctx := context.Background()
	random := make([]byte, lashstore.DigestSize)
	must(rand.Read(random))
	digest := must(lashstore.DigestFromBytes(random))
	var reserved []metadata.Reservation
	l.time(func() { reserved = must(w.catalog.Reserve(ctx, w.holder, []lashstore.Digest{digest})) })
	l.time(func() {
		check(w.catalog.MarkPresent(ctx, []metadata.Uploaded{{Object: reserved[0].Object, RawBytes: gcStored, StoredBytes: gcStored, Content: true}}))
	})
	const kept = 10
	if w.held = append(w.held, digest); len(w.held) > kept {
		l.time(func() { check(w.catalog.Release(ctx, w.holder, w.held[:1])) })
		w.held = w.held[1:]
	}
}

// report measures the writer for as long as something else runs.
func (w *gcWriter) report(b *testing.B, name string, during func()) {
	b.Helper()
	done, stopped := make(chan struct{}), make(chan struct{})
	var l latencies
	go func() {
		defer close(stopped)
		tick := time.NewTicker(gcWriterEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				w.commit(&l)
			}
		}
	}()
	during()
	close(done)
	<-stopped
	b.ReportMetric(ms(l.quantile(0.5)), name+"-p50-ms")
	b.ReportMetric(ms(l.quantile(0.99)), name+"-p99-ms")
	b.ReportMetric(ms(l.quantile(1)), name+"-max-ms")
}
