package metadata

import (
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/zeebo/blake3"

	"github.com/lashstore/lashstore"
)

// toMS converts a time to the milliseconds that columns keep; the zero time is 0.
func toMS(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// fromMS is the inverse of toMS.
func fromMS(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// nullInt is the value of a nullable integer column, for arguments and checksums.
func nullInt(n sql.NullInt64) any {
	if !n.Valid {
		return nil
	}
	return n.Int64
}

// nullString is the value of a nullable text column that was read.
func nullString(s sql.NullString) any {
	if !s.Valid {
		return nil
	}
	return s.String
}

// nullPtr is the value of a nullable text column.
func nullPtr(s *string) any {
	if s == nil {
		return nil
	}
	return *s
}

// counter converts an unsigned number of the contract to a column, having been
// validated to fit.
func counter[N ~uint64](n N) int64 { return int64(n) } // contract validation bounds it by MaxCounter

// unsigned converts a column to an unsigned number, refusing what was never written.
func unsigned[N ~uint64](n int64) (N, error) {
	if n < 0 {
		return 0, fmt.Errorf("negative number %d", n)
	}
	return N(n), nil
}

// randomHex returns 128 random bits as 32 hexadecimal digits.
func randomHex(rand io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return "", fmt.Errorf("draw a random number: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

// NewIncarnation draws the incarnation of a new session.
func NewIncarnation(rand io.Reader) (lashstore.Incarnation, error) {
	s, err := randomHex(rand)
	return lashstore.Incarnation(s), err
}

// tokenHash is how a token is stored: whoever reads the database must not be able
// to act as the holder.
func tokenHash(t lashstore.Token) []byte {
	sum := blake3.Sum256([]byte("lashstore token v1\x00" + string(t)))
	return sum[:]
}

// encode writes a record that the store itself made or has validated.
func encode(record string, v any) (string, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode %s: %w", record, err)
	}
	return string(raw), nil
}
