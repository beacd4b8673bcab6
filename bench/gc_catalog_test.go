package bench

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"
	"path/filepath"
	"sync"
	"time"

	"github.com/lashstore/lashstore"
	"github.com/lashstore/lashstore/cas"
	"github.com/lashstore/lashstore/local"
)

// gcSessions is over how many sessions the references are spread.
const gcSessions = 100_000

// gcStored is the stored size of an object that the benchmarks of the collector have.
const gcStored = 24 << 10

// gcBlobs is a tier's content of a size, of which object number i is known without
// being kept anywhere: the digests ascend with the numbers.
type gcBlobs int

// One object in ten is dead: nothing refers to it, for two days by now. Beside one in
// a hundred lies an object that the catalog does not know: a writer died.
func (n gcBlobs) dead(i int) bool  { return i%10 == 3 }
func (n gcBlobs) stray(i int) bool { return i%100 == 7 }

// count returns how many of the numbers below n leave the given rest.
func (n gcBlobs) count(of, rest int) int { return (int(n) - rest + of - 1) / of }

func (n gcBlobs) step() uint64 { return math.MaxUint64 / uint64(n) }

// mixed is a number that looks random (the finaliser of SplitMix64).
func mixed(i uint64) uint64 {
	i = (i + 1) * 0x9e3779b97f4a7c15
	i = (i ^ i>>30) * 0xbf58476d1ce4e5b9
	i = (i ^ i>>27) * 0x94d049bb133111eb
	return i ^ i>>31
}

// digest of object i. The first eight bytes ascend; nothing hashes to it.
func (n gcBlobs) digest(i int) lashstore.Digest {
	var b [lashstore.DigestSize]byte
	random := mixed(uint64(i))
	binary.BigEndian.PutUint64(b[:], uint64(i)*n.step()+random%n.step())
	for at := 8; at < len(b); at += 8 {
		binary.BigEndian.PutUint64(b[at:], bits.RotateLeft64(random, at))
	}
	return must(lashstore.DigestFromBytes(b[:]))
}

// generation of object i. The next number is that of the stray beside it.
func (n gcBlobs) generation(i int) cas.Generation {
	return cas.Generation(mixed(uint64(i))>>2 | 1)
}

func (n gcBlobs) name(i int) cas.ObjectName {
	return cas.ObjectName{Digest: n.digest(i), Generation: n.generation(i)}
}

// find returns the number of an object, and whether it is the stray beside it; false
// if it is none of them.
func (n gcBlobs) find(name cas.ObjectName) (i int, stray, found bool) {
	i = int(binary.BigEndian.Uint64(name.Digest.Bytes()) / n.step())
	if i >= int(n) || n.digest(i) != name.Digest {
		return 0, false, false
	}
	stray = name.Generation != n.generation(i)
	return i, stray, !stray || n.stray(i) && name.Generation == n.generation(i)+1
}

var gcCatalogs sync.Map // of *sync.Once results by size

// gcCatalogOf returns the folder of a store whose catalog knows n objects of
// [gcSessions] sessions. It is made once, and to be copied.
func gcCatalogOf(n gcBlobs) string {
	once, _ := gcCatalogs.LoadOrStore(n, sync.OnceValue(func() string {
		dir := filepath.Join(scratch, fmt.Sprintf("gc-%d", n))
		check(copyTree(catalogOf(gcSessions), dir))
		fillCatalog(catalogPath(dir), n)
		return dir
	}))
	return once.(func() string)()
}

func catalogPath(dir string) string {
	return filepath.Join(dir, "tenants", local.DefaultTenant, "catalog.db")
}

// fillCatalog adds the rows of n objects with plain SQL: reserving each of them would
// take minutes. An object has one session that refers to it, every fifth has two.
func fillCatalog(path string, n gcBlobs) {
	d := openCatalogFile(path)
	defer func() { check(d.Close()) }()
	for _, text := range []string{
		`DROP INDEX edge_holder`, // made again when all rows are there: that takes a third of the time
		`INSERT INTO holder (kind, key, expires_at_ms) SELECT 1, incarnation, NULL FROM session`,
	} {
		must(d.conn.ExecContext(context.Background(), text))
	}
	const part = 100_000
	condemned := time.Now().Add(-2 * lashstore.DefaultGrace).UnixMilli()
	for from := 0; from < int(n); from += part {
		d.transaction(func() {
			for i := from; i < min(from+part, int(n)); i++ {
				digest, generation := n.digest(i).Bytes(), int64(n.generation(i))
				columns := []any{digest, generation, int64(1), int64(1), []byte(nil), int64(2 * gcStored), int64(gcStored)}
				var at any
				if n.dead(i) {
					at = condemned
				}
				d.exec(`INSERT INTO blob (digest, generation, present, role, describes, raw_size, stored_size, sum, condemned_at_ms)
					VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, append(columns, checksum(columns), at)...)
				if n.dead(i) {
					continue
				}
				d.exec(`INSERT INTO edge (digest, holder) VALUES (?, ?)`, digest, 1+i%gcSessions)
				if i%5 == 0 {
					d.exec(`INSERT INTO edge (digest, holder) VALUES (?, ?)`, digest, 1+(i+gcSessions/2)%gcSessions)
				}
			}
		})
	}
	for _, text := range []string{`CREATE INDEX edge_holder ON edge(holder)`, `PRAGMA wal_checkpoint(TRUNCATE)`} {
		must(d.conn.ExecContext(context.Background(), text))
	}
}

// checksum is that of a row of the catalog (metadata/rowsum.go). A collection fails if
// it is not.
func checksum(columns []any) int64 {
	var sum uint32
	field := func(kind byte, n uint64, body []byte) {
		head := binary.LittleEndian.AppendUint64([]byte{kind}, n)
		sum = crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), append(head, body...))
	}
	for _, c := range columns {
		switch v := c.(type) {
		case int64:
			field('i', uint64(v), nil)
		case []byte:
			if v == nil {
				field('n', 0, nil)
			} else {
				field('b', uint64(len(v)), v)
			}
		default:
			panic(fmt.Sprintf("checksum of a %T", c))
		}
	}
	return int64(sum)
}

// openCatalogFile opens a catalog for plain SQL. Nothing is flushed: it is copied
// before it is used.
func openCatalogFile(path string) *bare {
	ctx := context.Background()
	d := &bare{prepared: make(map[string]*sql.Stmt)}
	d.pool = must(sql.Open("sqlite", "file:"+path))
	d.pool.SetMaxOpenConns(1)
	d.conn = must(d.pool.Conn(ctx))
	for _, pragma := range []string{"cache_size=-64000", "temp_store=FILE", "journal_mode=WAL", "synchronous=OFF"} {
		must(d.conn.ExecContext(ctx, "PRAGMA "+pragma))
	}
	return d
}
