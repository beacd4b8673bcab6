package metadata

import (
	"encoding/binary"
	"hash/crc32"
)

// rowSum is a checksum over the columns of a row, in order, each with its kind and
// length in front. SQLite has none of its own: it would hand out a flipped bit as
// data. CRC-32C finds every error of up to three bits and any burst of 32.
func rowSum(columns ...any) int64 {
	var (
		sum   uint32
		head  [9]byte
		table = crc32.MakeTable(crc32.Castagnoli)
	)
	field := func(kind byte, n uint64, body []byte) {
		head[0] = kind
		binary.LittleEndian.PutUint64(head[1:], n)
		sum = crc32.Update(sum, table, head[:])
		sum = crc32.Update(sum, table, body)
	}
	for _, c := range columns {
		switch v := c.(type) {
		case nil:
			field('n', 0, nil)
		case int64:
			field('i', uint64(v), nil) //nolint:gosec // only the bits matter
		case string:
			field('t', uint64(len(v)), []byte(v))
		case []byte:
			if v == nil {
				field('n', 0, nil)
			} else {
				field('b', uint64(len(v)), v)
			}
		default:
			panic("metadata: rowSum of a type that no column has")
		}
	}
	return int64(sum)
}
