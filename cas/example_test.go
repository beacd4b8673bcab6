package cas_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/memcas"
)

// holder keeps what a holder of content has to remember: under which generation each
// object was put.
type holder struct {
	store *cas.Store

	mu          sync.Mutex // guards generations
	generations map[lashstore.Digest]cas.Generation
}

func (h *holder) put(ctx context.Context, objects []cas.NewObject) error {
	for _, o := range objects {
		g, err := cas.NewGeneration(nil)
		if err != nil {
			return err
		}
		if err := h.store.PutObject(ctx, cas.ObjectName{Digest: o.Digest, Generation: g}, o.Stored); err != nil {
			return err
		}
		h.mu.Lock()
		h.generations[o.Digest] = g
		h.mu.Unlock()
	}
	return nil
}

func (h *holder) generation(d lashstore.Digest) (cas.Generation, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	g, ok := h.generations[d]
	return g, ok
}

// Content of any size goes through Split, and comes back through Join. The next turn
// names its predecessor and stores only what changed.
func Example() {
	ctx := context.Background()
	store, err := cas.New(memcas.New(), cas.Options{Prefix: "acme/"})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := &holder{store: store, generations: make(map[lashstore.Digest]cas.Generation)}
	opts := cas.SplitOptions{Descriptor: lashstore.StandardDescriptor(lashstore.KindToolState)}
	var state strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&state, "what the agent remembers of turn %d. ", i)
	}
	first, err := store.Split(ctx, strings.NewReader(state.String()), opts, h.put)
	if err != nil {
		fmt.Println(err)
		return
	}
	before := []byte(state.String())
	state.WriteString("And one thing more.")
	opts.Predecessor = &cas.Predecessor{Manifest: first.Manifest, Content: before}
	second, err := store.Split(ctx, strings.NewReader(state.String()), opts, h.put)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("most is reused:", second.ReusedBytes > second.Manifest.SizeBytes*9/10)

	// All that a holder keeps is the reference, the root and the generations.
	manifest, err := store.OpenManifest(ctx, second.Manifest.Ref(), second.Root, h.generation)
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := store.Join(ctx, manifest, h.generation)
	if err != nil {
		fmt.Println(err)
		return
	}
	back, err := cas.ReadAll(r, lashstore.MaxBlobBytes)
	fmt.Println(bytes.Equal(back, []byte(state.String())), err, r.Close())
	// Output:
	// most is reused: true
	// true <nil> <nil>
}

// The key of an object is made of the content's digest and a generation.
func ExampleObjectName_Key() {
	name := cas.ObjectName{Digest: lashstore.DigestOf([]byte("hello")), Generation: 0x2a}
	fmt.Println(name.Key())
	// Output:
	// b3/ea/ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f.000000000000002a
}
