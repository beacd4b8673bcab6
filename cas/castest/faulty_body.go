package castest

import (
	"bytes"
	"errors"
	"io"
)

// damage returns body, or a copy of it with one bit inverted.
func (x Fault) damage(body []byte) []byte {
	if !x.flip || x.flipBit < 0 || x.flipBit/8 >= int64(len(body)) {
		return body
	}
	body = bytes.Clone(body)
	body[x.flipBit/8] ^= 1 << (x.flipBit % 8)
	return body
}

// damaged reads r to its end and returns what the fault leaves of it.
func (x Fault) damaged(r io.ReadCloser) (io.ReadCloser, error) {
	body, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	body = body[:max(0, int64(len(body))-x.cut)]
	return io.NopCloser(bytes.NewReader(x.damage(body))), nil
}
