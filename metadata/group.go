package metadata

import (
	"context"
	"errors"
	"sync"

	"github.com/lashstore/lashstore"
)

// groupSize bounds how many writes share a transaction, and so how long it holds
// the write lock.
const groupSize = 64

// group is a group commit: writes that arrive while a transaction is being made
// durable share the next one. Under load, one flush of the disk then serves many.
type group struct {
	db       *database
	catalog  *Catalog // whose transactions are counted; nil for none
	requests chan *groupRequest
	done     chan struct{}
	stop     sync.Once
	quit     chan struct{}
}

type groupRequest struct {
	ctx    context.Context //nolint:containedctx // a request in a queue carries its caller's context
	fn     func(context.Context, *conn) error
	err    error
	answer chan struct{}
}

// newGroup starts the goroutine that close waits for.
func newGroup(db *database, catalog *Catalog) *group {
	g := &group{
		db:       db,
		catalog:  catalog,
		requests: make(chan *groupRequest, groupSize),
		done:     make(chan struct{}),
		quit:     make(chan struct{}),
	}
	go g.loop()
	return g
}

// run has fn executed and returns once it is durable or has failed. A context that
// ends while the request waits withdraws it; one that ends later may find it done.
func (g *group) run(ctx context.Context, fn func(context.Context, *conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r := &groupRequest{ctx: ctx, fn: fn, answer: make(chan struct{})}
	select {
	case g.requests <- r:
	case <-g.quit:
		return lashstore.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-r.answer:
		return r.err
	case <-g.done:
	}
	// The loop has ended; it may have answered before.
	select {
	case <-r.answer:
		return r.err
	default:
		return lashstore.ErrClosed
	}
}

func (g *group) loop() {
	defer close(g.done)
	for {
		select {
		case r := <-g.requests:
			g.serve(g.collect(r))
		case <-g.quit:
			return
		}
	}
}

// collect takes what is waiting, without waiting for more.
func (g *group) collect(first *groupRequest) []*groupRequest {
	batch := []*groupRequest{first}
	for len(batch) < groupSize {
		select {
		case r := <-g.requests:
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// serve runs a batch in one transaction, each request in a savepoint of its own.
func (g *group) serve(batch []*groupRequest) {
	var number int64
	err := g.db.write(context.Background(), "write", func(ctx context.Context, c *conn) (err error) {
		for _, r := range batch {
			if r.err = r.ctx.Err(); r.err != nil {
				continue
			}
			if r.err = c.savepoint(ctx, r.fn); r.err != nil && !c.inTransaction(ctx) {
				return r.err // SQLite ended the whole transaction, as for a full disk
			}
		}
		if g.catalog != nil {
			number, err = g.catalog.advance(ctx, c)
		}
		return err
	})
	if err == nil && g.catalog != nil {
		err = g.catalog.seq.note(number)
	}
	for _, r := range batch {
		if err != nil && r.err == nil {
			r.err = err
		}
		close(r.answer)
	}
}

func (g *group) close() {
	g.stop.Do(func() { close(g.quit) })
	<-g.done
}

// savepoint runs fn and undoes its changes, and only those, if it fails.
func (c *conn) savepoint(ctx context.Context, fn func(context.Context, *conn) error) error {
	if err := c.exec(ctx, "SAVEPOINT request"); err != nil {
		return err
	}
	err := fn(ctx, c)
	if err == nil {
		return c.exec(ctx, "RELEASE request")
	}
	if !c.inTransaction(ctx) {
		return err
	}
	return errors.Join(err, c.exec(ctx, "ROLLBACK TO request"), c.exec(ctx, "RELEASE request"))
}

// inTransaction reports whether a transaction is open: a savepoint outside one
// would start one, so it is asked for by trying to begin.
func (c *conn) inTransaction(ctx context.Context) bool {
	if err := c.exec(ctx, "BEGIN"); err != nil {
		return true // SQLite does not nest transactions
	}
	// None was open: the one just begun has nothing in it.
	return c.exec(ctx, "ROLLBACK") != nil
}
