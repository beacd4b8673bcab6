package cas_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/cas/memcas"
)

// mistaken is a driver that remembers wrong answers: the last byte of each is another
// until it is told to forget the object.
type mistaken struct {
	cas.Driver

	mu        sync.Mutex
	forgotten map[string]bool // guarded by mu
}

func (d *mistaken) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	r, err := d.Driver.Get(ctx, key, offset, length)
	d.mu.Lock()
	right := d.forgotten[key]
	d.mu.Unlock()
	if err != nil || right {
		return r, err
	}
	body, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	body[len(body)-1] ^= 1
	return io.NopCloser(bytes.NewReader(body)), nil
}

// forgetter is a mistaken driver that can be told.
type forgetter struct{ *mistaken }

func (d forgetter) Forget(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forgotten[key] = true
}

// What a driver remembers wrong is read once more, after it was told to forget.
func TestDamageInTheMemoryOfADriver(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1000, 1 << 20} { // one object; segments
		content := noise(size, 1)
		driver := memcas.New()
		c := newCatalog(newStore(t, driver, cas.Options{}))
		res := c.split(t, content)

		remembers := &mistaken{Driver: driver, forgotten: make(map[string]bool)}
		if _, err := readWith(t, remembers, c, res); !errors.Is(err, lashstore.ErrCorruptBlob) {
			t.Errorf("%d bytes, a driver that cannot forget: %v, want ErrCorruptBlob", size, err)
		}
		got, err := readWith(t, forgetter{remembers}, c, res)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
	}
}

// readWith reads content through another driver.
func readWith(t *testing.T, d cas.Driver, c *catalog, res cas.SplitResult) ([]byte, error) {
	t.Helper()
	s := newStore(t, d, cas.Options{})
	m, err := s.OpenManifest(t.Context(), res.Manifest.Ref(), res.Root, c.generation)
	if err != nil {
		return nil, err
	}
	r, err := s.Join(t.Context(), m, c.generation)
	if err != nil {
		return nil, err
	}
	got, err := cas.ReadAll(r, lashstore.MaxBlobBytes)
	return got, errors.Join(err, r.Close())
}

// A segment has a name that no content has: content with its bytes is another object,
// which may be compressed.
func TestPartsHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := memStore(t, cas.Options{Profile: lashstore.ProfileLowLatency})
	content := text(1 << 20)
	var parts int
	_, err := s.Split(t.Context(), bytes.NewReader(content), cas.SplitOptions{}, func(_ context.Context, objects []cas.NewObject) error {
		for _, o := range objects {
			parts++
			payload := o.Stored[cas.HeaderBytes:]
			if o.Content || o.Digest == lashstore.DigestOf(payload) {
				t.Errorf("a part of %d bytes is named like content", len(payload))
			}
			if _, err := cas.Decode(o.Stored, o.Digest, "k"); err != nil {
				t.Errorf("Decode of a part: %v", err)
			}
			if _, err := cas.Decode(o.Stored, lashstore.DigestOf(payload), "k"); !errors.Is(err, lashstore.ErrCorruptBlob) {
				t.Errorf("a part passes for content: %v", err)
			}
		}
		return nil
	})
	if err != nil || parts < 1 {
		t.Errorf("%d parts, %v", parts, err)
	}
}
