package s3cas

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Status is the outcome of a [Check].
type Status string

// The outcomes of a check.
const (
	StatusOK      Status = "ok"
	StatusWarning Status = "warning" // it works, but somebody should look at it
	StatusFailed  Status = "failed"
	StatusSkipped Status = "skipped" // something it needs failed, or it does not apply
)

// Check is one thing that was looked at. Its texts hold no secrets.
type Check struct {
	Name   string // stable, in snake_case
	Status Status
	Detail string // what was found
	Hint   string // what to do about it; empty if nothing
}

// The names of the checks, in their order.
const (
	checkCredentials = "credentials"
	checkEndpoint    = "endpoint"
	checkClock       = "clock"
	checkBucket      = "bucket"
	checkList        = "list"
	checkPut         = "put"
	checkGet         = "get"
	checkRange       = "get_range"
	checkOverwrite   = "overwrite"
	checkMultipart   = "multipart"
	checkDelete      = "delete"
	checkUploads     = "stray_uploads"
	checkCleanUp     = "clean_up"
)

// diagnosis is the state of one [Driver.Diagnose].
type diagnosis struct {
	driver *Driver
	checks []Check

	key    string      // of the probe object
	stored bool        // whether the probe object may exist
	header http.Header // of the server's first answer
	first  error       // of the request that got it
	skew   time.Duration
}

// step is one check and the names of those that it needs.
type step struct {
	name  string
	needs []string
	run   func(*diagnosis, context.Context) Check
}

// steps lists the checks in their order.
func steps() []step {
	return []step{
		{checkCredentials, nil, (*diagnosis).credentials},
		{checkEndpoint, nil, (*diagnosis).endpoint},
		{checkClock, []string{checkEndpoint}, (*diagnosis).clock},
		{checkBucket, []string{checkCredentials, checkEndpoint}, (*diagnosis).bucket},
		{checkList, []string{checkBucket}, (*diagnosis).list},
		{checkPut, []string{checkBucket}, (*diagnosis).put},
		{checkGet, []string{checkPut}, (*diagnosis).get},
		{checkRange, []string{checkGet}, (*diagnosis).getRange},
		{checkOverwrite, []string{checkGet}, (*diagnosis).overwrite},
		{checkMultipart, []string{checkPut}, (*diagnosis).multipart},
		{checkDelete, []string{checkPut}, (*diagnosis).remove},
		{checkUploads, []string{checkBucket}, (*diagnosis).uploads},
	}
}

// Diagnose looks at everything that the driver needs, from the credentials to a
// round trip of an object, and says what is wrong and what to do. It writes one
// object with a random name below "lashstore-doctor/" and removes it, also when ctx
// ends; a driver that is read-only writes nothing. A check is skipped when one that it
// needs did not succeed. The checks are always the same, in the same order; one more,
// "clean_up", comes last if the object could not be removed.
func (d *Driver) Diagnose(ctx context.Context) []Check {
	g := &diagnosis{driver: d}
	for _, s := range steps() {
		check := Check{Status: StatusSkipped}
		if i := slices.IndexFunc(s.needs, g.unusable); i >= 0 {
			check.Detail = fmt.Sprintf("needs %s", s.needs[i])
		} else {
			check = s.run(g, ctx)
		}
		check.Name = s.name
		g.checks = append(g.checks, check)
	}
	g.cleanUp(ctx)
	return g.checks
}

// unusable reports whether the check of that name failed or was skipped.
func (g *diagnosis) unusable(name string) bool {
	return slices.ContainsFunc(g.checks, func(c Check) bool {
		return c.Name == name && (c.Status == StatusFailed || c.Status == StatusSkipped)
	})
}

// cleanUp removes the probe object if the check of deleting did not.
func (g *diagnosis) cleanUp(ctx context.Context) {
	if !g.stored {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	if err := g.driver.deleteOne(ctx, g.key); err != nil {
		check := failed(err, fmt.Sprintf("the probe object %s may be left behind", g.driver.loc.uri(g.key)))
		check.Name = checkCleanUp
		g.checks = append(g.checks, check)
	}
}

func passed(format string, args ...any) Check {
	return Check{Status: StatusOK, Detail: fmt.Sprintf(format, args...)}
}

// failed makes a failed check of an error, whose hint gets its own place.
func failed(err error, what string) Check {
	check := Check{Status: StatusFailed, Detail: what}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		check.Detail += ": " + err.Error()
		return check
	}
	check.Hint = e.Hint
	bare := *e
	bare.Hint = ""
	check.Detail += ": " + bare.Error()
	return check
}
