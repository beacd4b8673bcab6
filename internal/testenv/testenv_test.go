package testenv_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/lashstore/lashstore/internal/testenv"
)

// A clock that moved by itself would make every expiry test depend on the machine.
func TestClockMovesOnlyWhenTold(t *testing.T) {
	t.Parallel()
	c := testenv.NewClock()
	if got := c.Now(); !got.Equal(testenv.Start()) || !c.Now().Equal(got) {
		t.Errorf("clock starts at %s, want %s, and stands still", got, testenv.Start())
	}
	c.Advance(time.Hour)
	c.Advance(-time.Minute)
	if got, want := c.Now(), testenv.Start().Add(59*time.Minute); !got.Equal(want) {
		t.Errorf("after advancing: %s, want %s", got, want)
	}
	c.Set(testenv.Start())
	if got := c.Now(); !got.Equal(testenv.Start()) {
		t.Errorf("after setting: %s, want %s", got, testenv.Start())
	}
}

// A failing random test could not be repeated if the bytes differed between runs.
func TestRandRepeats(t *testing.T) {
	t.Parallel()
	read := func(r io.Reader) []byte {
		b := make([]byte, 64)
		if _, err := io.ReadFull(r, b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	if a, b := read(testenv.NewRand(t)), read(testenv.NewRand(t)); !bytes.Equal(a, b) {
		t.Errorf("one test, two sequences:\n%x\n%x", a, b)
	}
	if a, b := read(testenv.NewSeededRand(1)), read(testenv.NewSeededRand(2)); bytes.Equal(a, b) {
		t.Errorf("two seeds, one sequence: %x", a)
	}
}

func TestProcessTable(t *testing.T) {
	t.Parallel()
	p := testenv.NewProcessTable()
	p.Start(7, 100)
	if start, exists, err := p.StartTime(7); start != 100 || !exists || err != nil {
		t.Errorf("running process: %d, %t, %v", start, exists, err)
	}
	p.Exit(7)
	if _, exists, err := p.StartTime(7); exists || err != nil {
		t.Errorf("process that ended: %t, %v", exists, err)
	}
	p.Fail(io.ErrUnexpectedEOF)
	if _, _, err := p.StartTime(7); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("table that cannot be read: %v", err)
	}
}
