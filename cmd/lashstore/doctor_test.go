package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lashstore/lashstore/cas/s3cas"
)

func readText(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What doctor prints is read by people in trouble, and by scripts.
func TestDoctorGolden(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	parent := filepath.Dir(c.dir)
	var b strings.Builder
	step := func(title, line string) {
		o := c.run(t, "", strings.Fields(line)...)
		fmt.Fprintf(&b, "# %s\n$ lashstore %s\n%s%sexit: %d\n\n", title, line, o.stdout, o.stderr, o.exit)
	}
	step("nothing there yet", "doctor")
	step("the same for scripts", "doctor -o json")
	step("the first write", "session create first")
	step("a directory in use", "doctor")
	c.disk, c.files = volume{kind: "NFS", freeBytes: 300 << 20, network: true}, 256
	step("a place that asks for trouble", "doctor")
	c.disk, c.files = volume{kind: "memory", freeBytes: 3 << 20, volatile: true}, 4096
	step("no space", "doctor -o json")
	c.disk = volume{freeBytes: 5 << 30}
	c.env = map[string]string{"LASHSTORE_BUCKET": "file://" + filepath.ToSlash(parent) + "/other"}
	step("another bucket", "doctor")
	c.dir = filepath.Join(parent, "second")
	c.env["LASHSTORE_CACHE_DIR"] = filepath.Join(parent, "cache")
	step("a directory and a bucket with a cache", "doctor")
	text := strings.ReplaceAll(c.scrub(b.String()), filepath.Join(parent, "data"), "<dir>")
	compareGolden(t, filepath.Join("testdata", "doctor.golden"), strings.ReplaceAll(text, parent, "<parent>"))
}

// Probes must be gone afterwards.
func TestDoctorLeavesNothing(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	if o := c.run(t, "", "doctor"); o.exit != exitOK {
		t.Fatalf("%+v", o)
	}
	noFiles(t, filepath.Dir(c.dir))
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if o := c.run(t, "", "doctor"); o.exit != exitOK {
		t.Fatalf("%+v", o)
	}
	noFiles(t, c.dir)
	if o := c.run(t, "hello", "blob", "put"); o.exit != exitOK {
		t.Fatalf("%+v", o)
	}
	before := files(t, c.dir)
	if o := c.run(t, "", "doctor"); o.exit != exitOK {
		t.Fatalf("%+v", o)
	}
	if diff := cmp.Diff(before, files(t, c.dir)); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
}

// files lists the files below a folder.
func files(t *testing.T, folder string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestDoctorFindsWhatIsWrongWithTheDirectory(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		spoil func(t *testing.T, c *console)
		check string
		want  s3cas.Status
	}{
		"a file in its place": {func(t *testing.T, c *console) {
			t.Helper()
			if err := os.WriteFile(c.dir, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "data_directory", s3cas.StatusFailed},
		"a damaged catalog": {func(t *testing.T, c *console) {
			t.Helper()
			if o := c.run(t, "", "session", "create", "x"); o.exit != exitOK {
				t.Fatalf("%+v", o)
			}
			catalog := filepath.Join(c.dir, "tenants", "default", "catalog.db")
			if err := os.WriteFile(catalog, []byte(strings.Repeat("not a database. ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "catalog", s3cas.StatusFailed},
		"a clock that was never set": {func(_ *testing.T, c *console) {
			c.clock = c.clock.AddDate(-50, 0, 0)
		}, "clock", s3cas.StatusWarning},
		"a bucket that is a file": {func(t *testing.T, c *console) {
			t.Helper()
			file := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			c.env = map[string]string{"LASHSTORE_BUCKET": "file://" + filepath.ToSlash(file)}
		}, "open", s3cas.StatusFailed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConsole(t)
			tt.spoil(t, c)
			o := c.run(t, "", "doctor", "-o", "json")
			doc := decode[doctorDocument](t, o.stdout)
			i := slices.IndexFunc(doc.Checks, func(c doctorCheck) bool { return c.Name == tt.check })
			if i < 0 || doc.Checks[i].Status != tt.want {
				t.Fatalf("%+v", doc)
			}
			want := exitOK
			if tt.want == s3cas.StatusFailed {
				want = exitFailure
			}
			if o.exit != want {
				t.Errorf("exit %d, want %d", o.exit, want)
			}
		})
	}
}

// What cannot be asked is said, not guessed.
func TestJudgeVolume(t *testing.T) {
	t.Parallel()
	for _, err := range []error{errors.ErrUnsupported, os.ErrPermission} {
		d := &doctor{app: &app{environment: environment{volume: func(string) (volume, error) { return volume{}, err }}}}
		d.checkVolume("/")
		want := []s3cas.Status{s3cas.StatusSkipped, s3cas.StatusSkipped}
		if errors.Is(err, os.ErrPermission) {
			want[0] = s3cas.StatusFailed
		}
		var got []s3cas.Status
		for _, c := range d.doc.Checks {
			got = append(got, c.Status)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
}

// The real system must have answers.
func TestSystemAnswers(t *testing.T) {
	t.Parallel()
	if v, err := volumeOf(t.TempDir()); !errors.Is(err, errors.ErrUnsupported) && (err != nil || v.freeBytes <= 0) {
		t.Errorf("%+v, %v", v, err)
	}
	if n, err := openFileLimit(); err != nil || n == 0 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := volumeOf(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that is not there has a file system")
	}
}
