package diskcache_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/lashstore/lashstore/cas/diskcache"
)

// The block file is a format: a cache that was filled by an earlier build is used.
func TestBlockIsStable(t *testing.T) {
	t.Parallel()
	hash := [32]byte{0: 0xaa, 31: 0xbb}
	got := hex.EncodeToString(diskcache.Seal(hash, 2, 2*small+5, []byte("hello")))
	const want = "894c5342" + "01" + "000000" +
		"aa000000000000000000000000000000000000000000000000000000000000bb" +
		"0000000000000002" + "0000000000002005" + "00000005" + "e4ec8770" + "68656c6c6f"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	content, size, err := diskcache.Open(diskcache.Seal(hash, 2, 2*small+5, []byte("hello")), hash, 2, small)
	if err != nil || string(content) != "hello" || size != 2*small+5 {
		t.Errorf("Open: got %q, %d, %v", content, size, err)
	}
}

// Even with a right checksum, what does not fit is refused: number, sizes, length.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	hash, full := [32]byte{1}, make([]byte, small)
	for _, test := range []struct {
		what    string
		file    []byte
		number  int64
		refused bool
	}{
		{"a full block in the middle", diskcache.Seal(hash, 1, -1, full), 1, false},
		{"a full block at the end", diskcache.Seal(hash, 1, 2*small, full), 1, false},
		{"the empty object", diskcache.Seal(hash, 0, 0, nil), 0, false},
		{"another number", diskcache.Seal(hash, 1, -1, full), 2, true},
		{"a negative number", diskcache.Seal(hash, -1, -1, full), -1, true},
		{"a number beyond all", diskcache.Seal(hash, 1<<50, -1, full), 1 << 50, true},
		{"short, of unknown size", diskcache.Seal(hash, 1, -1, full[1:]), 1, true},
		{"longer than a block", diskcache.Seal(hash, 1, -1, append(full, 0)), 1, true},
		{"short, not at the end", diskcache.Seal(hash, 0, 2*small, full[1:]), 0, true},
		{"beyond the end", diskcache.Seal(hash, 3, 2*small, full), 3, true},
		{"empty, at the end", diskcache.Seal(hash, 2, 2*small, nil), 2, true},
		{"a size beyond all", diskcache.Seal(hash, 0, 1<<50, full), 0, true},
		{"a negative size", diskcache.Seal(hash, 0, -2, full), 0, true},
		{"another key", diskcache.Seal([32]byte{2}, 1, -1, full), 1, true},
		{"nothing", nil, 1, true},
	} {
		if _, _, err := diskcache.Open(test.file, hash, test.number, small); (err != nil) != test.refused {
			t.Errorf("%s: got error %v, want refused %v", test.what, err, test.refused)
		}
	}
}

// No input makes the decoder fail otherwise than with an error, and what it accepts is
// exactly what sealing makes.
func FuzzOpenBlock(f *testing.F) {
	hash := [32]byte{7}
	f.Add(diskcache.Seal(hash, 0, 5, []byte("hello")), int64(0))
	f.Add(diskcache.Seal(hash, 3, -1, make([]byte, small)), int64(3))
	f.Add(diskcache.Seal(hash, 0, 0, nil), int64(0))
	f.Add(make([]byte, diskcache.HeaderBytes), int64(-1))
	f.Fuzz(func(t *testing.T, file []byte, number int64) {
		before := bytes.Clone(file)
		content, size, err := diskcache.Open(file, hash, number, small)
		if !bytes.Equal(before, file) {
			t.Fatal("the file was changed")
		}
		if err == nil && !bytes.Equal(diskcache.Seal(hash, number, size, content), file) {
			t.Fatalf("accepted % x, which is not how block %d of an object of %d bytes is sealed", file, number, size)
		}
		// With the header made right, only the length can be wrong.
		if len(file) <= small {
			whole := diskcache.Seal(hash, 1, small+int64(len(file)), file)
			if got, _, err := diskcache.Open(whole, hash, 1, small); (err == nil) != (len(file) > 0) || err == nil && !bytes.Equal(got, file) {
				t.Fatalf("a sealed block of %d bytes: %v", len(file), err)
			}
		}
	})
}
