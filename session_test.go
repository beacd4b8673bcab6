package lashstore_test

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/lashstore/lashstore"
)

// A time to live that databases keep as another one would delete a session early, or
// never.
func TestSessionTTL(t *testing.T) {
	t.Parallel()
	last := time.UnixMilli(lashstore.MaxTimeMS)
	for name, m := range map[string]lashstore.SessionMeta{
		"negative":         {TTL: -time.Second},
		"the least":        {TTL: math.MinInt64},
		"too short":        {TTL: lashstore.MinSessionTTL - time.Millisecond},
		"too long":         {TTL: lashstore.MaxSessionTTL + time.Millisecond},
		"the greatest":     {TTL: math.MaxInt64},
		"a fraction":       {TTL: time.Second + time.Microsecond},
		"beyond all times": {TTL: time.Hour, CreatedAt: last.Add(time.Millisecond - time.Hour)},
	} {
		m.SessionID = "s"
		wantInvalid(t, name, m.Validate())
	}
	for name, m := range map[string]lashstore.SessionMeta{
		"never":        {},
		"the shortest": {TTL: lashstore.MinSessionTTL},
		"the longest":  {TTL: lashstore.MaxSessionTTL},
		"milliseconds": {TTL: time.Second + time.Millisecond},
		"the last":     {TTL: time.Hour, CreatedAt: last.Add(-time.Hour)},
		"far, never":   {CreatedAt: last},
	} {
		m.SessionID = "s"
		wantValid(t, name, m.Validate())
	}
}

// The expiry is shown, stored and compared: it must be a time that all of that can
// represent.
func TestSessionExpiresAt(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	last := time.UnixMilli(lashstore.MaxTimeMS)
	for _, tt := range []struct {
		name          string
		ttl           time.Duration
		updated, want time.Time
	}{
		{"never", 0, at, time.Time{}},
		{"a day", 24 * time.Hour, at, at.AddDate(0, 0, 1)},
		{"ten years", lashstore.MaxSessionTTL, at, at.AddDate(10, 0, 1)},
		{"since 1970", time.Hour, time.Time{}, time.UnixMilli(0).Add(time.Hour)},
		{"up to the last", time.Hour, last.Add(-time.Hour), last},
		{"beyond the last", time.Hour, last.Add(-time.Minute), last},
	} {
		got := lashstore.SessionMeta{TTL: tt.ttl}.ExpiresAt(tt.updated)
		if !got.Equal(tt.want) {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
		if _, err := json.Marshal(got); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// Readers of the JSON form take durations for milliseconds, and what they do not
// know must not get lost on the way back.
func TestSessionMetaJSON(t *testing.T) {
	t.Parallel()
	raw, err := json.Marshal(lashstore.SessionMeta{SessionID: "s"})
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	if _, there := fields["ttl_ms"]; there || fields["session_id"] != "s" {
		t.Errorf("without a time to live: %s", raw)
	}

	meta := lashstore.SessionMeta{SessionID: "old", TTL: time.Hour}
	if err := json.Unmarshal([]byte(`{"session_id":"s","ttl_ms":1500}`), &meta); err != nil {
		t.Fatal(err)
	}
	if meta.SessionID != "s" || meta.TTL != 1500*time.Millisecond {
		t.Errorf("got %+v", meta)
	}
	for _, bad := range []string{
		`{"ttl_ms":-1}`, `{"ttl_ms":315619200001}`, `{"ttl_ms":9223372036854775807}`, `{"ttl_ms":18446744073710}`,
	} {
		if err := json.Unmarshal([]byte(bad), &meta); !errors.Is(err, lashstore.ErrInvalid) {
			t.Errorf("%s: got %v, want %q", bad, err, lashstore.ErrInvalid)
		}
	}
	for _, bad := range []string{`{"ttl":1}`, `{"ttl_ms":1.5}`, `{"ttl_ms":"1h"}`, `{"TTL_S":1}`} {
		if err := json.Unmarshal([]byte(bad), &meta); err == nil {
			t.Errorf("%s is accepted: %+v", bad, meta)
		}
	}
	if meta.SessionID != "s" || meta.TTL != 1500*time.Millisecond {
		t.Errorf("changed by what was refused: %+v", meta)
	}
}
