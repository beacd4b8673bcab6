package metadata

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/lashstore/lashstore"
)

// maxNameBytes bounds the readable part of a file name (design section 3); with
// hash and suffixes the name stays far below the usual limit of 255.
const maxNameBytes = 80

var tenantForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,62}$`)

// ValidateTenant reports a [*lashstore.InvalidError] unless the id has the form of
// design section 3, which is also safe as a path and as an object key.
func ValidateTenant(id string) error {
	if !tenantForm.MatchString(id) {
		return lashstore.Invalid("tenant", id, "is not [a-z0-9][a-z0-9-]{1,62}")
	}
	return nil
}

// SessionPath returns the file of a session relative to the tenant's folder:
// sessions/<hh>/<name>-<hash16>-<inc8>.db, where name is the sanitised id, hash16
// the start of its SHA-256, hh the start of that, and inc8 the start of the
// incarnation. The hash keeps ids apart that sanitise alike; the incarnation keeps a
// handle on a deleted file from ever touching its successor's log.
func SessionPath(id lashstore.SessionID, incarnation lashstore.Incarnation) string {
	sum := sha256.Sum256([]byte(id))
	hash := hex.EncodeToString(sum[:8])
	inc := string(incarnation)
	inc = inc[:min(len(inc), 8)]
	return filepath.Join("sessions", hash[:2], sanitize(string(id))+"-"+hash+"-"+inc+".db")
}

// sanitize keeps ASCII letters, digits, "-" and "_" and replaces the rest.
func sanitize(id string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		default:
			return '_'
		}
	}, id)
	name = strings.Trim(name, "_")
	if name == "" {
		name = "session"
	}
	return name[:min(len(name), maxNameBytes)]
}
