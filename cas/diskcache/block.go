package diskcache

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"

	"github.com/zeebo/blake3"
)

// The layout of a block file, drawn in the package's documentation.
const (
	blockMagic   = "\x89LSB"
	blockVersion = 1

	hashOffset   = 8
	numberOffset = hashOffset + hashBytes
	objectOffset = numberOffset + 8
	lengthOffset = objectOffset + 8
	crcOffset    = lengthOffset + 4
	headerBytes  = crcOffset + 4

	hashBytes = 32
)

// unknownSize stands for the size of an object whose end has not been seen.
const unknownSize = -1

// keyHash stands for a key on disk, together with namespace and block size.
type keyHash [hashBytes]byte

// hashKey hashes key. Namespace and block size end with a zero byte, which no key has
// and which keeps different parts from having equal sums.
func (c *Cache) hashKey(key string) keyHash {
	b := strconv.AppendInt(nil, c.opts.BlockBytes, 10)
	b = append(b, 0)
	b = strconv.AppendInt(b, int64(len(c.opts.Namespace)), 10)
	b = append(b, 0)
	b = append(b, c.opts.Namespace...)
	return blake3.Sum256(append(b, key...))
}

// block is one aligned part of an object.
type block struct {
	number     int64
	objectSize int64  // unknownSize if the object's end has not been seen
	bytes      []byte // as many as a block has; fewer only at the object's end
}

// castagnoli is computed once: the table is what makes the sum fast.
var castagnoli = crc32.MakeTable(crc32.Castagnoli) //nolint:gochecknoglobals // never changes

// sealBlock fills in the header of file, whose first headerBytes are free and whose
// rest are the bytes of the block.
func sealBlock(file []byte, hash keyHash, number, objectSize int64) {
	copy(file, blockMagic)
	file[4] = blockVersion
	clear(file[5:hashOffset])
	copy(file[hashOffset:], hash[:])
	// Neither is negative, except unknownSize, whose bits are all ones.
	binary.BigEndian.PutUint64(file[numberOffset:], uint64(number))                //nolint:gosec // see above
	binary.BigEndian.PutUint64(file[objectOffset:], uint64(objectSize))            //nolint:gosec // see above
	binary.BigEndian.PutUint32(file[lengthOffset:], uint32(len(file)-headerBytes)) //nolint:gosec // up to 4 MiB
	binary.BigEndian.PutUint32(file[crcOffset:], blockCRC(file))
}

func blockCRC(file []byte) uint32 {
	return crc32.Update(crc32.Checksum(file[:crcOffset], castagnoli), castagnoli, file[headerBytes:])
}

// openBlock checks all of a block file: that it is whole and that it is block number
// of the object that hash stands for. The bytes of the result lie in file.
func openBlock(file []byte, hash keyHash, number, blockBytes int64) (block, error) {
	fail := func(format string, args ...any) (block, error) {
		return block{}, fmt.Errorf("cached block %d: "+format, append([]any{number}, args...)...)
	}
	if len(file) < headerBytes {
		return fail("%d bytes are less than a header", len(file))
	}
	if string(file[:4]) != blockMagic || file[4] != blockVersion || file[5]|file[6]|file[7] != 0 {
		return fail("not a block of version %d: it starts with % x", blockVersion, file[:hashOffset])
	}
	if got, want := blockCRC(file), binary.BigEndian.Uint32(file[crcOffset:]); got != want {
		return fail("checksum %08x, expected %08x", got, want)
	}
	if keyHash(file[hashOffset:numberOffset]) != hash {
		return fail("the file is of another key")
	}
	got := binary.BigEndian.Uint64(file[numberOffset:])
	if number < 0 || number > maxCachedBytes/blockBytes || got != uint64(number) {
		return fail("the file is of block %d", got)
	}
	length := int64(len(file) - headerBytes)
	if got := binary.BigEndian.Uint32(file[lengthOffset:]); int64(got) != length {
		return fail("%d bytes, the header says %d", length, got)
	}
	size := binary.BigEndian.Uint64(file[objectOffset:])
	if size == math.MaxUint64 {
		if length != blockBytes {
			return fail("%d bytes, but not known to be the last", length)
		}
		return block{number: number, objectSize: unknownSize, bytes: file[headerBytes:]}, nil
	}
	if size > maxCachedBytes {
		return fail("an object of %d bytes", size)
	}
	objectSize := int64(size)
	if number > 0 && number*blockBytes >= objectSize || length != min(blockBytes, objectSize-number*blockBytes) {
		return fail("%d bytes do not fit an object of %d", length, objectSize)
	}
	return block{number: number, objectSize: objectSize, bytes: file[headerBytes:]}, nil
}
