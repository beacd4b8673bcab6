package conformance

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lashstore/lashstore"
)

func leaseScenarios() []scenario {
	return []scenario{
		{name: "S19_Reentry", run: s19Reentry},
		{name: "S20_OtherIncarnation", run: s20OtherIncarnation},
		{name: "S21_OtherOwner", run: s21OtherOwner},
		{name: "S22_Renew", run: s22Renew},
		{name: "S23_StaleRelease", run: s23StaleRelease},
		{name: "S24_ReleaseAndHandOver", run: s24ReleaseAndHandOver},
		{name: "S25_Expiry", run: s25Expiry},
		{name: "S26_CommitNeedsLease", run: s26CommitNeedsLease},
		{name: "S27_CommitReleases", run: s27CommitReleases},
		{name: "S36_FirstClaimFromTwoHandles", run: s36FirstClaimFromTwoHandles},
		{name: "S37_Identity", run: s37Identity},
		{name: "S38_LeaseCheckOrder", run: s38LeaseCheckOrder},
		{name: "X_Lease_SupersededIsFenced", run: xLeaseSupersededIsFenced},
		{name: "X_Lease_Executor", run: xLeaseExecutor},
		{name: "X_Lease_TokensAreRandom", run: xLeaseTokensAreRandom},
		{name: "X_Lease_SurvivesReopening", run: xLeaseSurvivesReopening},
		{name: "X_Lease_BadInput", run: xLeaseBadInput},
	}
}

// held checks that a claim was refused and who holds the lease.
func (e *env) held(err error, by lashstore.Lease) {
	e.Helper()
	e.is(err, lashstore.ErrLeaseHeld)
	equal(e, "holder", as[*lashstore.LeaseHeldError](e, err).Holder, by.LeaseHolder)
}

// fenced checks that a fence was refused, and why.
func (e *env) fenced(err error, want ...lashstore.FenceReason) {
	e.Helper()
	e.is(err, lashstore.ErrFenced)
	if got := as[*lashstore.FencedError](e, err).Reason; !slices.Contains(want, got) {
		e.Errorf("fenced as %q, want %q", got, want)
	}
}

// altered is a fence with a token that was never given out.
func altered(f lashstore.Fence) lashstore.Fence {
	f.Token = lashstore.Token(strings.Repeat("a", 32))
	return f
}

// Section 13, Leases: the token is new at every claim, re-entry included; the
// fencing token stays and the expiry never moves back. With a shared token one
// runner would release the other's lease (W9).
func s19Reentry(e *env) {
	s := e.create("root")
	first := e.lease(s, "a")
	equal(e, "session", first.SessionID, "root")
	equal(e, "fencing token", first.FencingToken, 1)
	equal(e, "claimed at", first.ClaimedAt, e.Clock.Now())
	equal(e, "expires at", first.ExpiresAt, e.Clock.Now().Add(leaseTTL))

	second, err := s.ClaimLease(e.Context(), owner("a"), 2*leaseTTL)
	e.must(err)
	if second.Token == first.Token {
		e.Error("both claims have the same token")
	}
	equal(e, "fencing token", second.FencingToken, first.FencingToken)
	equal(e, "expiry", second.ExpiresAt, e.Clock.Now().Add(2*leaseTTL))
	if second.Displaced == nil {
		e.Error("the second claim does not say that it displaced the first")
	}

	third, err := s.ClaimLease(e.Context(), owner("a"), time.Second)
	e.must(err)
	equal(e, "expiry after a shorter claim", third.ExpiresAt, second.ExpiresAt)

	for _, stale := range []lashstore.Lease{first, second} {
		_, err = s.RenewLease(e.Context(), stale.Fence(), leaseTTL)
		e.fenced(err, lashstore.FenceSuperseded)
		e.fenced(s.ReleaseLease(e.Context(), stale.Fence()), lashstore.FenceSuperseded)
	}
	_, err = s.RenewLease(e.Context(), third.Fence(), 3*leaseTTL)
	e.must(err)
}

// A worker that restarted is another one: its predecessor may still be running.
func s20OtherIncarnation(e *env) {
	s := e.create("root")
	l := e.lease(s, "a")
	next := owner("a")
	next.IncarnationID = "a:next-incarnation"
	_, err := s.ClaimLease(e.Context(), next, leaseTTL)
	e.held(err, l)
}

// Two holders would both write (I7, I10).
func s21OtherOwner(e *env) {
	s := e.create("root")
	l := e.lease(s, "a")
	_, err := s.ClaimLease(e.Context(), owner("b"), leaseTTL)
	e.held(err, l)
	status, err := s.LeaseStatus(e.Context())
	e.must(err)
	equal(e, "status", status, lashstore.LeaseStatus{Holder: &l.LeaseHolder, FencingToken: 1})
}

// A holder that cannot renew loses its turn; one that can with a wrong token takes
// another's (I9). Section 13, Leases: refused by name.
func s22Renew(e *env) {
	s := e.create("root")
	l := e.lease(s, "a")
	e.Clock.Advance(10 * time.Second)
	renewed, err := s.RenewLease(e.Context(), l.Fence(), 2*leaseTTL)
	e.must(err)
	equal(e, "token kept", renewed.Token == l.Token, true)
	equal(e, "fencing token", renewed.FencingToken, l.FencingToken)
	equal(e, "claimed at", renewed.ClaimedAt, l.ClaimedAt)
	equal(e, "expiry", renewed.ExpiresAt, e.Clock.Now().Add(2*leaseTTL))

	_, err = s.RenewLease(e.Context(), altered(l.Fence()), leaseTTL)
	e.fenced(err, lashstore.FenceSuperseded)
	_, err = s.RenewLease(e.Context(), lashstore.Fence{}, leaseTTL)
	e.fenced(err, lashstore.FenceMissing)
	wrong := l.Fence()
	wrong.FencingToken++
	_, err = s.RenewLease(e.Context(), wrong, leaseTTL)
	e.is(err, lashstore.ErrFenced)

	e.Clock.Advance(2 * leaseTTL) // the very moment of expiry counts as expired
	_, err = s.RenewLease(e.Context(), l.Fence(), leaseTTL)
	e.fenced(err, lashstore.FenceExpired)
}

// Section 13, Leases: a stale release is refused by name, and releases nothing.
func s23StaleRelease(e *env) {
	s := e.create("root")
	l := e.lease(s, "a")
	e.fenced(s.ReleaseLease(e.Context(), altered(l.Fence())), lashstore.FenceSuperseded)
	e.is(s.ReleaseLease(e.Context(), lashstore.Fence{}), lashstore.ErrFenced)
	_, err := s.ClaimLease(e.Context(), owner("b"), leaseTTL)
	e.held(err, l)
}

// A released lease is free at once, and the old holder's second release must not
// free the new one's (I8, I9).
func s24ReleaseAndHandOver(e *env) {
	s := e.create("root")
	a := e.lease(s, "a")
	e.must(s.ReleaseLease(e.Context(), a.Fence()))
	status, err := s.LeaseStatus(e.Context())
	e.must(err)
	equal(e, "status after the release", status, lashstore.LeaseStatus{FencingToken: a.FencingToken})
	e.fenced(s.ReleaseLease(e.Context(), a.Fence()), lashstore.FenceReleased)

	b := e.lease(s, "b")
	equal(e, "fencing token", b.FencingToken, a.FencingToken+1)
	if b.Displaced != nil {
		e.Errorf("a lease that was released was displaced: %v", b.Displaced)
	}
	e.fenced(s.ReleaseLease(e.Context(), a.Fence()), lashstore.FenceSuperseded)
	_, err = s.ClaimLease(e.Context(), owner("c"), leaseTTL)
	e.held(err, b)
}

// A holder that fell silent must not block the session for ever; section 13: the
// new holder learns whom it displaced.
func s25Expiry(e *env) {
	s := e.create("root")
	a, err := s.ClaimLease(e.Context(), owner("a"), 0)
	e.must(err)
	status, err := s.LeaseStatus(e.Context())
	e.must(err)
	equal(e, "status of an expired lease", status, lashstore.LeaseStatus{FencingToken: a.FencingToken})
	b := e.lease(s, "b")
	equal(e, "fencing token", b.FencingToken, a.FencingToken+1)
	if b.Displaced == nil {
		e.Fatal("the new holder does not learn whom it displaced")
	}
	equal(e, "displaced", *b.Displaced, a.LeaseHolder)

	// The same holder after its expiry is a new grant.
	e.Clock.Advance(leaseTTL)
	again := e.lease(s, "b")
	equal(e, "fencing token after one's own expiry", again.FencingToken, b.FencingToken+1)

	// An expired lease can still be released by its holder.
	e.Clock.Advance(leaseTTL)
	e.must(s.ReleaseLease(e.Context(), again.Fence()))
}

// A commit without the lease could come from anybody (G5).
func s26CommitNeedsLease(e *env) {
	s := e.create("root")
	c := lashstore.Commit{Config: config("provider-a")}
	e.fenced(e.refusal(s, c, lashstore.ErrFenced), lashstore.FenceMissing)
	c.Fence = lashstore.Fence{SessionID: "root", Token: "00000000000000000000000000000000", FencingToken: 1}
	e.refuse(s, c, lashstore.ErrFenced)
	l := e.lease(s, "a")
	c.Fence = altered(l.Fence())
	e.fenced(e.refusal(s, c, lashstore.ErrFenced), lashstore.FenceSuperseded)
	c.Fence = l.Fence()
	e.Clock.Advance(leaseTTL)
	e.fenced(e.refusal(s, c, lashstore.ErrFenced), lashstore.FenceExpired)
}

// A final commit that leaves the lease held makes everybody wait for its expiry.
func s27CommitReleases(e *env) {
	s := e.create("root")
	c := lashstore.Commit{Fence: e.lease(s, "a").Fence(), Config: config("provider-a"), ReleaseLease: true}
	e.apply(s, c)
	equal(e, "fencing token", e.lease(s, "b").FencingToken, c.Fence.FencingToken+1)
	c.ExpectedRevision = 1
	e.fenced(e.refusal(s, c, lashstore.ErrFenced), lashstore.FenceSuperseded)
}

// Two processes that both think they were first would both write.
func s36FirstClaimFromTwoHandles(e *env) {
	handles := []lashstore.Session{e.create("root"), e.sessionOf(e.second(Settings{}), "root")}
	var mu sync.Mutex
	var granted []lashstore.Lease
	errs := race(8, func(i int) error {
		l, err := handles[i%2].ClaimLease(e.Context(), owner(string(rune('a'+i))), leaseTTL)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			granted = append(granted, l)
		}
		return err
	})
	equal(e, "winners", e.winners(errs, lashstore.ErrLeaseHeld), 1)
	for _, h := range handles {
		status, err := h.LeaseStatus(e.Context())
		e.must(err)
		equal(e, "status", status, lashstore.LeaseStatus{Holder: &granted[0].LeaseHolder, FencingToken: 1})
	}
}

// Who is the same holder, and who is proven dead, decides who may write.
func s37Identity(e *env) {
	a := owner("a")
	equal(e, "same ids", a.SameHolder(owner("a")), true)
	other := owner("a")
	other.IncarnationID = "a:next"
	equal(e, "another incarnation", a.SameHolder(other), false)
	other = owner("a")
	other.ExecutorID = "2"
	equal(e, "another executor", a.SameHolder(other), false)
	other = owner("a")
	other.Liveness = localProcess(1, 1)
	equal(e, "another liveness", a.SameHolder(other), true)

	table := tableOf{100: 5}
	claimant := localProcess(200, 9)
	with := func(change func(*lashstore.Liveness)) lashstore.Liveness {
		l := localProcess(100, 4)
		change(&l)
		return l
	}
	for name, c := range map[string]struct {
		holder lashstore.Liveness
		dead   bool
	}{
		"started at another time": {localProcess(100, 4), true},
		"gone":                    {localProcess(101, 4), true},
		"alive":                   {localProcess(100, 5), false},
		"another host":            {with(func(l *lashstore.Liveness) { l.HostID = "host-b" }), false},
		"another boot":            {with(func(l *lashstore.Liveness) { l.BootID = "boot-b" }), false},
		"another namespace":       {with(func(l *lashstore.Liveness) { l.PIDNamespace = "ns-b" }), false},
		"no namespace":            {with(func(l *lashstore.Liveness) { l.PIDNamespace = "" }), false},
		"opaque":                  {lashstore.Liveness{Kind: lashstore.LivenessOpaque}, false},
		"nothing":                 {lashstore.Liveness{}, false},
	} {
		equal(e, "dead: "+name, lashstore.DefinitelyDead(c.holder, claimant, table), c.dead)
	}
	equal(e, "an opaque claimant", lashstore.DefinitelyDead(localProcess(101, 4), lashstore.Liveness{}, table), false)
	equal(e, "no table", lashstore.DefinitelyDead(localProcess(101, 4), claimant, nil), false)
}

// A fence of another session is a programming error that must be named before the
// revision, which would send the caller to read the head again.
func s38LeaseCheckOrder(e *env) {
	s, other := e.create("root"), e.create("other")
	c := lashstore.Commit{Fence: e.lease(other, "a").Fence(), ExpectedRevision: 5, Config: config("provider-a")}
	err := e.refusal(s, c, lashstore.ErrFenced)
	e.fenced(err, lashstore.FenceWrongSession)
	equal(e, "session", as[*lashstore.FencedError](e, err).Session, "root")
}

// Whoever was superseded must be refused everywhere from then on (G5).
func xLeaseSupersededIsFenced(e *env) {
	s := e.create("root")
	e.enqueue(s, exclusive("work"))
	old := e.lease(s, "a")
	e.Clock.Advance(leaseTTL)
	e.lease(s, "b")
	before := e.state(s)
	fence := old.Fence()
	_, err := s.Commit(e.Context(), lashstore.Commit{Fence: fence, Config: config("provider-a")})
	e.fenced(err, lashstore.FenceSuperseded)
	fenced := as[*lashstore.FencedError](e, err)
	equal(e, "given", fenced.Given, old.FencingToken)
	equal(e, "current", fenced.Current, old.FencingToken+1)
	equal(e, "holder", fenced.Holder, "b")
	_, err = s.RenewLease(e.Context(), fence, leaseTTL)
	e.fenced(err, lashstore.FenceSuperseded)
	e.fenced(s.ReleaseLease(e.Context(), fence), lashstore.FenceSuperseded)
	_, err = s.Tombstone(e.Context(), fence, []lashstore.NodeID{"n1"})
	e.fenced(err, lashstore.FenceSuperseded)
	_, err = s.Vacuum(e.Context(), fence)
	e.fenced(err, lashstore.FenceSuperseded)
	_, err = s.ClaimTurnWork(e.Context(), request(old, "a"))
	e.fenced(err, lashstore.FenceSuperseded)
	_, err = s.ClaimCommand(e.Context(), request(old, "a"))
	e.fenced(err, lashstore.FenceSuperseded)
	_, err = s.ClaimBatches(e.Context(), request(old, "a"), e.queued(s))
	e.fenced(err, lashstore.FenceSuperseded)
	equal(e, "the session afterwards", e.state(s), before)
}

// Section 13, Leases: two executors in one process are two holders.
func xLeaseExecutor(e *env) {
	s := e.create("root")
	one, two := owner("a"), owner("a")
	one.ExecutorID, two.ExecutorID = "1", "2"
	l, err := s.ClaimLease(e.Context(), one, leaseTTL)
	e.must(err)
	_, err = s.ClaimLease(e.Context(), two, leaseTTL)
	e.held(err, l)
	_, err = s.ClaimLease(e.Context(), owner("a"), leaseTTL)
	e.held(err, l)
	again, err := s.ClaimLease(e.Context(), one, leaseTTL)
	e.must(err)
	equal(e, "fencing token", again.FencingToken, l.FencingToken)
}

// A token that can be guessed is no proof (W9).
func xLeaseTokensAreRandom(e *env) {
	seen := map[lashstore.Token]bool{}
	for i := range 4 {
		s := e.create(sized("s", i))
		for range 4 {
			token := e.lease(s, "a").Token
			if seen[token] || len(token) != 32 || strings.Trim(string(token), "0123456789abcdef") != "" {
				e.Errorf("token %q of %d bytes, want 32 new hexadecimal digits", string(token), len(token))
			}
			seen[token] = true
		}
	}
}

// A lease that is forgotten with the process would be granted twice.
func xLeaseSurvivesReopening(e *env) {
	s := e.create("root")
	processOwner := owner("a")
	processOwner.Liveness = localProcess(100, 4)
	l, err := s.ClaimLease(e.Context(), processOwner, leaseTTL)
	e.must(err)
	e.reopen(Settings{})
	s = e.session("root")
	_, err = s.ClaimLease(e.Context(), owner("b"), leaseTTL)
	e.held(err, l)
	_, err = s.RenewLease(e.Context(), l.Fence(), leaseTTL)
	e.must(err)
	e.Clock.Advance(leaseTTL)
	e.reopen(Settings{})
	equal(e, "fencing token", e.lease(e.session("root"), "b").FencingToken, l.FencingToken+1)
}

// A holder that cannot be named, or a lease that never ends, cannot be superseded.
func xLeaseBadInput(e *env) {
	s := e.create("root")
	before := e.state(s)
	bad := map[string]lashstore.Owner{"nobody": {}}
	for _, text := range hostileTexts(lashstore.MaxNameBytes) {
		o := owner("a")
		o.OwnerID = text
		bad["owner "+text] = o
		o = owner("a")
		o.IncarnationID = text
		bad["incarnation "+text] = o
		if text != "" {
			o = owner("a")
			o.ExecutorID = text
			bad["executor "+text] = o
		}
	}
	for name, l := range map[string]lashstore.Liveness{
		"unknown kind": {Kind: "remote"},
		"no host":      {Kind: lashstore.LivenessLocalProcess, BootID: "b", PID: 1},
		"no boot":      {Kind: lashstore.LivenessLocalProcess, HostID: "h", PID: 1},
		"no process":   {Kind: lashstore.LivenessLocalProcess, HostID: "h", BootID: "b"},
		"negative":     {Kind: lashstore.LivenessLocalProcess, HostID: "h", BootID: "b", PID: -1},
		"late start":   {Kind: lashstore.LivenessLocalProcess, HostID: "h", BootID: "b", PID: 1, ProcessStart: lashstore.MaxCounter + 1},
		"evidence":     {PID: 1},
	} {
		o := owner("a")
		o.Liveness = l
		bad["liveness "+name] = o
	}
	observed := lashstore.LeaseHolder{Owner: owner("b"), FencingToken: 1}
	for name, o := range bad {
		if _, err := s.ClaimLease(e.Context(), o, leaseTTL); !isErr(err, lashstore.ErrInvalid) {
			e.Errorf("claim, %.30q: got %v, want %q", name, err, lashstore.ErrInvalid)
		}
		if _, err := s.ReclaimLease(e.Context(), o, observed, leaseTTL); !isErr(err, lashstore.ErrInvalid) {
			e.Errorf("reclaim, %.30q: got %v, want %q", name, err, lashstore.ErrInvalid)
		}
	}
	for _, ttl := range []time.Duration{-1, -time.Hour, lashstore.MaxTTL + 1, 1<<63 - 1, -1 << 63} {
		if _, err := s.ClaimLease(e.Context(), owner("a"), ttl); !isErr(err, lashstore.ErrInvalid) {
			e.Errorf("claim for %s: got %v, want %q", ttl, err, lashstore.ErrInvalid)
		}
		if _, err := s.ReclaimLease(e.Context(), owner("a"), observed, ttl); !isErr(err, lashstore.ErrInvalid) {
			e.Errorf("reclaim for %s: got %v, want %q", ttl, err, lashstore.ErrInvalid)
		}
	}
	equal(e, "the session afterwards", e.state(s), before)
	l := e.lease(s, "a")
	for _, ttl := range []time.Duration{-1, lashstore.MaxTTL + 1, 1<<63 - 1} {
		if _, err := s.RenewLease(e.Context(), l.Fence(), ttl); !isErr(err, lashstore.ErrInvalid) {
			e.Errorf("renewal for %s: got %v, want %q", ttl, err, lashstore.ErrInvalid)
		}
	}
	longest, err := s.ClaimLease(e.Context(), owner("a"), lashstore.MaxTTL)
	e.must(err)
	equal(e, "longest lease", longest.ExpiresAt, e.Clock.Now().Add(lashstore.MaxTTL))
}
