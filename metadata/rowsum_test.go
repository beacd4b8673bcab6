package metadata

import "testing"

// Two rows that differ must not have the same input to the checksum: kinds and
// lengths are part of it.
func TestRowSumTellsColumnsApart(t *testing.T) {
	t.Parallel()
	rows := [][]any{
		{},
		{nil},
		{nil, nil},
		{int64(0)},
		{""},
		{[]byte{}},
		{"a"},
		{[]byte("a")},
		{"a", "b"},
		{"ab", ""},
		{"", "ab"},
		{int64(1)},
		{int64(-1)},
		{"a", nil},
		{nil, "a"},
		{int64(256)},
		{"\x00"},
		{"0"},
	}
	seen := make(map[int64]int)
	for i, row := range rows {
		sum := rowSum(row...)
		if j, dup := seen[sum]; dup {
			t.Errorf("rows %#v and %#v have the same sum", rows[j], row)
		}
		seen[sum] = i
	}
}

// Every single flipped bit must change the sum.
func TestRowSumFindsFlippedBits(t *testing.T) {
	t.Parallel()
	body := []byte("a payload of some length, in which one bit flips")
	want := rowSum("id", int64(7), body)
	for bit := range len(body) * 8 {
		body[bit/8] ^= 1 << (bit % 8)
		if rowSum("id", int64(7), body) == want {
			t.Errorf("flipping bit %d goes unnoticed", bit)
		}
		body[bit/8] ^= 1 << (bit % 8)
	}
}
