package metadata

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/lashstore/lashstore"
)

//go:embed migrations
var migrationFiles embed.FS

// schema is a kind of database: its mark and its migrations, of which number n
// leads from version n-1 to n.
type schema struct {
	kind          string
	applicationID int64
	dir           string
	// mayCreate says whether an empty file may become a database of this kind. It is
	// asked inside the transaction that would do so.
	mayCreate func() error
}

// The application ids are "lshS" and "lshC" in ASCII, so that file(1) and other
// programs can tell the files.
func sessionSchema() schema {
	return schema{kind: "session", applicationID: 0x6c736853, dir: "migrations/session"}
}

func catalogSchema() schema {
	return schema{kind: "catalog", applicationID: 0x6c736843, dir: "migrations/catalog"}
}

// steps returns the statements of each migration, in order, without comments:
// SQLite keeps the text of a definition in the file.
func (s schema) steps() ([]string, error) {
	entries, err := fs.ReadDir(migrationFiles, s.dir)
	if err != nil {
		return nil, fmt.Errorf("read the migrations of %s: %w", s.kind, err)
	}
	steps := make([]string, 0, len(entries))
	for i, e := range entries {
		if !strings.HasPrefix(e.Name(), fmt.Sprintf("%04d_", i+1)) {
			return nil, fmt.Errorf("migration %s of %s is out of order", e.Name(), s.kind)
		}
		text, err := fs.ReadFile(migrationFiles, s.dir+"/"+e.Name())
		if err != nil {
			return nil, fmt.Errorf("read migration %s: %w", e.Name(), err)
		}
		steps = append(steps, compactSQL(string(text)))
	}
	return steps, nil
}

// newest is the version that the migrations lead to.
func (s schema) newest() (int, error) {
	entries, err := fs.ReadDir(migrationFiles, s.dir)
	if err != nil {
		return 0, fmt.Errorf("list the migrations of %s: %w", s.kind, err)
	}
	return len(entries), nil
}

// compactSQL drops comment lines and indentation.
func compactSQL(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "--") {
			b.WriteString(line)
			if strings.HasSuffix(line, ";") {
				b.WriteByte('\n')
			}
		}
	}
	return b.String()
}

// migrate brings a database to the newest version, in one transaction, unless it is
// there. An empty file becomes a database of this kind; anything else that is not
// one, or is newer, is refused and not changed.
func (s schema) migrate(ctx context.Context, d *database) error {
	newest, err := s.newest()
	if err != nil || d.version == newest {
		return err
	}
	steps, err := s.steps()
	if err != nil {
		return err
	}
	return d.write(ctx, "migrate", func(ctx context.Context, c *conn) error {
		current, err := s.version(ctx, c, d.path, len(steps))
		if err != nil || current == len(steps) {
			return err // another process was faster
		}
		if current == 0 && s.mayCreate != nil {
			if err := s.mayCreate(); err != nil {
				return &lashstore.StorageError{Op: "create", Path: d.path, Kind: lashstore.ErrCorruptDatabase, Err: err}
			}
		}
		for _, step := range steps[current:] {
			if err := c.script(ctx, step); err != nil {
				return translate("migrate", d.path, err)
			}
		}
		err = c.script(ctx, fmt.Sprintf("PRAGMA application_id=%d; PRAGMA user_version=%d", s.applicationID, len(steps)))
		return translate("migrate", d.path, err)
	})
}

// check reads the version without a write lock.
func (s schema) check(ctx context.Context, d *database, newest int) (version int, err error) {
	err = d.read(ctx, "read the version of", func(ctx context.Context, c *conn) error {
		version, err = s.version(ctx, c, d.path, newest)
		return err
	})
	return version, err
}

// requireCurrent is migrate for a read-only open: the version must be one that this
// program can read as it is.
func (s schema) requireCurrent(ctx context.Context, d *database) error {
	newest, err := s.newest()
	if err != nil {
		return err
	}
	version, err := s.check(ctx, d, newest)
	if err != nil {
		return err
	}
	if version == 0 {
		return s.empty(d.path)
	}
	if version != newest {
		return s.refuse(d.path, int64(version), newest, "it must be opened for writing once, to be migrated")
	}
	return nil
}

func (s schema) version(ctx context.Context, c *conn, path string, newest int) (int, error) {
	var application, version, objects int64
	// One statement, since another process may be creating the database meanwhile.
	_, err := c.one(ctx, `SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),
		(SELECT count(*) FROM sqlite_schema)`, nil, &application, &version, &objects)
	if err != nil {
		return 0, translate("read the version of", path, err)
	}
	switch {
	case application == 0 && version == 0 && objects == 0:
		return 0, nil
	case application != s.applicationID:
		return 0, s.refuse(path, version, newest, "it is not a database of this kind")
	case version > int64(newest):
		return 0, s.refuse(path, version, newest, "it was written by a newer program")
	case version < 1:
		return 0, s.refuse(path, version, newest, "it has no valid version")
	}
	return int(version), nil
}

// empty reports a file that must be a database and is empty.
func (s schema) empty(path string) error {
	return &lashstore.StorageError{Op: "open", Path: path, Kind: lashstore.ErrCorruptDatabase, Err: errors.New("the file is empty")}
}

func (s schema) refuse(path string, found int64, newest int, reason string) error {
	return &lashstore.SchemaVersionError{Database: path, Kind: s.kind, Found: found, Supported: int64(newest), Reason: reason}
}
