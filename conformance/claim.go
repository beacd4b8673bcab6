package conformance

import (
	"strings"
	"sync"
	"time"

	"github.com/lashstore/lashstore"
)

func claimScenarios() []scenario {
	return []scenario{
		{name: "S28_QueueClaimNeedsLease", run: s28QueueClaimNeedsLease},
		{name: "S42_ExactClaim", run: s42ExactClaim},
		{name: "S43_CommandFirst", run: s43CommandFirst},
		{name: "S44_TurnFirst", run: s44TurnFirst},
		{name: "S45_Boundary", run: s45Boundary},
		{name: "S46_AbandonRaisesFencing", run: s46AbandonRaisesFencing},
		{name: "S47_RenewClaim", run: s47RenewClaim},
		{name: "S48_AvailabilityAndExclusivity", run: s48AvailabilityAndExclusivity},
		{name: "S50_ExpiredClaim", run: s50ExpiredClaim},
		{name: "S51_Max", run: s51Max},
		{name: "S52_Grouping", run: s52Grouping},
		{name: "S55_HeldBatch", run: s55HeldBatch},
		{name: "S56_ClaimRace", run: s56ClaimRace},
		{name: "S65_MaxZero", run: s65MaxZero},
		{name: "X_Claim_Refusals", run: xClaimRefusals},
		{name: "X_Claim_HeldDoNotHideReady", run: xClaimHeldDoNotHideReady},
		{name: "X_Claim_LateDoNotHideReady", run: xClaimLateDoNotHideReady},
		{name: "X_Claim_SupersededLease", run: xClaimSupersededLease},
		{name: "X_Claim_DeadHolder", run: xClaimDeadHolder},
		{name: "X_Claim_ExactIsOneTransaction", run: xClaimExactIsOneTransaction},
		{name: "X_Claim_StaleClaims", run: xClaimStaleClaims},
		{name: "X_Claim_BadInput", run: xClaimBadInput},
	}
}

// Work taken without the lease would be done by two workers.
func s28QueueClaimNeedsLease(e *env) {
	s := e.create("root")
	batch := e.enqueue(s, exclusive("work"))
	l := e.lease(s, "a")
	e.must(s.ReleaseLease(e.Context(), l.Fence()))
	_, err := s.ClaimTurnWork(e.Context(), request(l, "a"))
	e.fenced(err, lashstore.FenceReleased)
	_, err = s.ClaimTurnWork(e.Context(), request(lashstore.Lease{}, "a"))
	e.fenced(err, lashstore.FenceMissing)
	l = e.lease(s, "a")
	claim := e.claim(s, request(l, "a"))
	equal(e, "claimed", batchIDs(claim.Batches), []lashstore.BatchID{batch.BatchID})
}

// A runtime that is told to take one batch must get that one or nothing.
func s42ExactClaim(e *env) {
	s := e.create("root")
	one, two := e.enqueue(s, exclusive("1")).BatchID, e.enqueue(s, exclusive("2")).BatchID
	r := request(e.lease(s, "a"), "a")
	e.refused(lashstore.RefusedNotLeading)(s.ClaimBatches(e.Context(), r, []lashstore.BatchID{two}))
	equal(e, "pending", e.pending(s), []lashstore.BatchID{one, two})
	claim := e.granted(s.ClaimBatches(e.Context(), r, []lashstore.BatchID{one}))
	equal(e, "claimed", batchIDs(claim.Batches), []lashstore.BatchID{one})
	equal(e, "pending", e.pending(s), []lashstore.BatchID{two})
}

// A command that turn work overtakes comes too late (I12).
func s43CommandFirst(e *env) {
	s := e.create("root")
	cmd, turn := e.enqueue(s, command("k")).BatchID, e.enqueue(s, afterCommit("turn")).BatchID
	l := e.lease(s, "committer")
	e.refused(lashstore.RefusedCommandAhead)(s.ClaimTurnWork(e.Context(), request(l, "a")))
	claim := e.granted(s.ClaimCommand(e.Context(), request(l, "a")))
	equal(e, "claimed", batchIDs(claim.Batches), []lashstore.BatchID{cmd})
	equal(e, "class", claim.Batches[0].Class, lashstore.WorkCommand)
	c := completing(claim)
	c.Fence = l.Fence()
	e.commit(s, c)
	claim = e.granted(s.ClaimBatches(e.Context(), request(l, "a"), []lashstore.BatchID{turn}))
	equal(e, "claimed", batchIDs(claim.Batches), []lashstore.BatchID{turn})
}

// The reverse of S43: turn work in front is not overtaken by a command.
func s44TurnFirst(e *env) {
	s := e.create("root")
	turn, cmd := e.enqueue(s, exclusive("turn")).BatchID, e.enqueue(s, command("k")).BatchID
	l := e.lease(s, "a")
	e.refused(lashstore.RefusedNoCommand)(s.ClaimCommand(e.Context(), request(l, "a")))
	claim := e.claim(s, request(l, "a"))
	equal(e, "claimed", batchIDs(claim.Batches), []lashstore.BatchID{turn})
	e.must(s.AbandonClaim(e.Context(), claim))
	equal(e, "pending after abandoning", e.pending(s), []lashstore.BatchID{turn, cmd})
}

// Input that waits for the turn's commit must not be put into the running turn.
func s45Boundary(e *env) {
	e.boundary()
}

// boundary plays S45 and returns what S46 goes on with.
func (e *env) boundary() (s lashstore.Session, l lashstore.Lease, claimOfA lashstore.Claim) {
	e.Helper()
	s = e.create("root")
	a, b := e.enqueue(s, afterCommit("a")).BatchID, e.enqueue(s, exclusive("b")).BatchID
	l = e.lease(s, "owner")
	inTurn, idle := request(l, "owner"), request(l, "owner")
	inTurn.Boundary = lashstore.BoundaryCheckpoint
	e.refused(lashstore.RefusedBoundary)(s.ClaimTurnWork(e.Context(), inTurn))
	claimOfA = e.claim(s, idle)
	equal(e, "claimed at idle", batchIDs(claimOfA.Batches), []lashstore.BatchID{a})
	equal(e, "claimed at the checkpoint", batchIDs(e.claim(s, inTurn).Batches), []lashstore.BatchID{b})
	return s, l, claimOfA
}

// Without a larger fencing token the effects of two claims could not be told apart
// (I15).
func s46AbandonRaisesFencing(e *env) {
	s, l, claim := e.boundary()
	e.must(s.AbandonClaim(e.Context(), claim))
	again := e.claim(s, request(l, "other"))
	equal(e, "claimed", batchIDs(again.Batches), batchIDs(claim.Batches))
	equal(e, "fencing token", again.FencingToken, claim.FencingToken+1)
	equal(e, "owner", again.Owner, owner("other"))
	if again.ClaimID == claim.ClaimID || again.Token == claim.Token {
		e.Errorf("claims %s and %s share their id or token", claim.ClaimID, again.ClaimID)
	}
}

// A long turn must be able to keep its work.
func s47RenewClaim(e *env) {
	s, l, claim := e.boundary()
	e.Clock.Advance(10 * time.Second)
	renewed, err := s.RenewClaim(e.Context(), claim, 2*leaseTTL)
	e.must(err)
	equal(e, "claim id", renewed.ClaimID, claim.ClaimID)
	equal(e, "token kept", renewed.Token == claim.Token, true)
	equal(e, "batches", batchIDs(renewed.Batches), batchIDs(claim.Batches))
	equal(e, "fencing token", renewed.FencingToken, claim.FencingToken)
	equal(e, "expiry", renewed.ExpiresAt, e.Clock.Now().Add(2*leaseTTL))
	_, err = s.RenewLease(e.Context(), l.Fence(), lashstore.MaxTTL)
	e.must(err)
	e.Clock.Advance(leaseTTL + time.Second)
	equal(e, "batch that nobody renewed, of two", len(e.pending(s)), 1)
	forged := renewed
	forged.Token = "00000000000000000000000000000000"
	_, err = s.RenewClaim(e.Context(), forged, leaseTTL)
	e.is(err, lashstore.ErrClaimLost)
}

// Work for later must wait, and must not hold up what is ready.
func s48AvailabilityAndExclusivity(e *env) {
	s := e.create("root")
	later := exclusive("2100")
	later.AvailableAt = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	e.enqueue(s, later)
	alone, join := e.enqueue(s, exclusive("alone")).BatchID, e.enqueue(s, joining("g", "join")).BatchID
	l := e.lease(s, "a")
	equal(e, "first claim", batchIDs(e.claim(s, request(l, "a")).Batches), []lashstore.BatchID{alone})
	equal(e, "second claim", batchIDs(e.claim(s, request(l, "a")).Batches), []lashstore.BatchID{join})
}

// A worker that died must not take its work along.
func s50ExpiredClaim(e *env) {
	s := e.create("root")
	batch := e.enqueue(s, exclusive("work")).BatchID
	l := e.lease(s, "a")
	r := request(l, "a")
	r.TTL = 0
	first := e.claim(s, r)
	second := e.claim(s, request(l, "b"))
	equal(e, "claimed", batchIDs(second.Batches), []lashstore.BatchID{batch})
	equal(e, "fencing token", second.FencingToken, first.FencingToken+1)
}

// A claim above the limit overfills a turn (I13).
func s51Max(e *env) {
	s := e.create("root")
	var all []lashstore.BatchID
	for _, text := range []string{"1", "2", "3"} {
		all = append(all, e.enqueue(s, joining("g", text)).BatchID)
	}
	r := request(e.lease(s, "a"), "a")
	r.MaxBatches = 2
	equal(e, "first claim", batchIDs(e.claim(s, r).Batches), all[:2])
	equal(e, "second claim", batchIDs(e.claim(s, r).Batches), all[2:])
}

// Batches of another group or policy do not belong into one turn (I13).
func s52Grouping(e *env) {
	s := e.create("root")
	a3 := joining("a", "a3")
	a3.DeliveryPolicy = lashstore.DeliverAfterCommit
	var all []lashstore.BatchID
	for _, d := range []lashstore.BatchDraft{joining("a", "a1"), joining("a", "a2"), joining("b", "b"), a3} {
		all = append(all, e.enqueue(s, d).BatchID)
	}
	r := request(e.lease(s, "a"), "a")
	equal(e, "first claim", batchIDs(e.claim(s, r).Batches), all[:2])
	equal(e, "second claim", batchIDs(e.claim(s, r).Batches), all[2:3])
	equal(e, "third claim", batchIDs(e.claim(s, r).Batches), all[3:])
}

// A batch in two live claims is done twice (I14, G6).
func s55HeldBatch(e *env) {
	s := e.create("root")
	e.enqueue(s, exclusive("work"))
	l := e.lease(s, "a")
	claim := e.claim(s, request(l, "a"))
	e.refused(lashstore.RefusedHeld)(s.ClaimTurnWork(e.Context(), request(l, "b")))
	_, err := s.RenewClaim(e.Context(), claim, leaseTTL)
	e.must(err)
}

// As S55, when both claim at once.
func s56ClaimRace(e *env) {
	first := e.create("root")
	handles := []lashstore.Session{first, e.sessionOf(e.second(Settings{}), "root")}
	e.enqueue(first, exclusive("work"))
	l := e.lease(first, "a")
	var mu sync.Mutex
	var claims []lashstore.Claim
	for _, err := range race(6, func(i int) error {
		res, err := handles[i%2].ClaimTurnWork(e.Context(), request(l, string(rune('a'+i))))
		if res.Claim != nil {
			mu.Lock()
			defer mu.Unlock()
			claims = append(claims, *res.Claim)
		}
		return err
	}) {
		e.must(err)
	}
	equal(e, "claims", len(claims), 1)
	_, err := first.RenewClaim(e.Context(), claims[0], leaseTTL)
	e.must(err)
}

// With nothing asked for, nothing is checked: a runtime without room asks so.
func s65MaxZero(e *env) {
	s := e.create("root")
	e.enqueue(s, exclusive("work"))
	r := request(lashstore.Lease{}, "a")
	r.MaxBatches = 0
	e.refused(lashstore.RefusedZeroLimit)(s.ClaimTurnWork(e.Context(), r))
}

// Section 13, Queue: a claim that yields nothing says why, or hosts guess when to
// ask again.
func xClaimRefusals(e *env) {
	s := e.create("root")
	l := e.lease(s, "a")
	turn := func() (lashstore.ClaimResult, error) { return s.ClaimTurnWork(e.Context(), request(l, "a")) }
	cmd := func() (lashstore.ClaimResult, error) { return s.ClaimCommand(e.Context(), request(l, "a")) }
	e.refused(lashstore.RefusedEmpty)(turn())
	e.refused(lashstore.RefusedEmpty)(cmd())
	e.refused(lashstore.RefusedEmpty)(s.ClaimBatches(e.Context(), request(l, "a"), []lashstore.BatchID{"qwb:00000000000000000000000000000000"}))
	later := exclusive("later")
	later.AvailableAt = e.Clock.Now().Add(10 * time.Second)
	e.enqueue(s, later)
	e.refused(lashstore.RefusedNotAvailable)(turn())
	e.refused(lashstore.RefusedNotAvailable)(cmd())
	e.Clock.Advance(10 * time.Second)
	e.refused(lashstore.RefusedNoCommand)(cmd())
	e.claim(s, request(l, "a"))
	e.refused(lashstore.RefusedHeld)(turn())
	e.refused(lashstore.RefusedHeld)(cmd())
	e.enqueue(s, command("k"))
	e.refused(lashstore.RefusedCommandAhead)(turn())
	e.granted(cmd())
	e.refused(lashstore.RefusedZeroLimit)(s.ClaimBatches(e.Context(), request(l, "a"), nil))
}

// Section 13, Queue: held rows are filtered before the limit, or those at the front
// hide every ready one behind them (W13).
func xClaimHeldDoNotHideReady(e *env) {
	s := e.create("root")
	const front = 40
	for range front {
		e.enqueue(s, joining("g", "held"))
	}
	ready := e.enqueue(s, exclusive("ready")).BatchID
	l := e.lease(s, "a")
	r := request(l, "a")
	r.MaxBatches = front
	equal(e, "held", len(e.claim(s, r).Batches), front)
	r.MaxBatches = 1
	equal(e, "claimed behind them", batchIDs(e.claim(s, r).Batches), []lashstore.BatchID{ready})
	e.enqueue(s, command("k"))
	e.granted(s.ClaimCommand(e.Context(), r))
}

// The same for batches whose time has not come.
func xClaimLateDoNotHideReady(e *env) {
	s := e.create("root")
	for range 40 {
		d := exclusive("late")
		d.AvailableAt = e.Clock.Now().Add(time.Hour)
		e.enqueue(s, d)
	}
	ready := e.enqueue(s, exclusive("ready")).BatchID
	r := request(e.lease(s, "a"), "a")
	r.MaxBatches = 1
	equal(e, "claimed behind them", batchIDs(e.claim(s, r).Batches), []lashstore.BatchID{ready})
}

// Section 13, Queue: claims are pinned to the lease's generation. When another holder
// takes the lease, the work of the old one may be taken over at once, and everybody
// sees it so (W26).
func xClaimSupersededLease(e *env) {
	s := e.create("root")
	batch := e.enqueue(s, exclusive("work")).BatchID
	old := e.lease(s, "a")
	r := request(old, "a")
	r.TTL = time.Hour
	first := e.claim(s, r)

	// The same holder's re-entry is no other grant: its work stays its own.
	again := e.lease(s, "a")
	e.refused(lashstore.RefusedHeld)(s.ClaimTurnWork(e.Context(), request(again, "b")))

	e.Clock.Advance(leaseTTL)
	l := e.lease(s, "b")
	equal(e, "pending under the new lease", e.pending(s), []lashstore.BatchID{batch})
	second := e.claim(s, request(l, "b"))
	equal(e, "claimed", batchIDs(second.Batches), []lashstore.BatchID{batch})
	equal(e, "fencing token", second.FencingToken, first.FencingToken+1)

	_, err := s.RenewClaim(e.Context(), first, leaseTTL)
	e.is(err, lashstore.ErrClaimLost)
	e.must(s.AbandonClaim(e.Context(), first))
	equal(e, "pending after the old holder abandoned", len(e.pending(s)), 0)
	c := completing(first)
	c.Fence = l.Fence()
	lost := as[*lashstore.ClaimLostError](e, e.refusal(s, e.prepare(s, c), lashstore.ErrClaimLost))
	equal(e, "claim", lost.Claim, first.ClaimID)
	equal(e, "batch", lost.Batch, batch)
	equal(e, "successor", lost.Successor, second.ClaimID)
	c = completing(second)
	c.Fence = l.Fence()
	e.commit(s, c)
	equal(e, "queue", len(e.queued(s)), 0)
}

// The work of a proven dead holder may be taken over before it expires.
func xClaimDeadHolder(e *env) {
	s := e.create("root")
	e.enqueue(s, exclusive("work"))
	e.Processes.Start(100, 1000)
	l := e.lease(s, "a")
	r := request(l, "a")
	r.Owner = process("a", 100)
	first := e.claim(s, r)
	rival := request(l, "b")
	rival.Owner = process("b", 200)
	e.refused(lashstore.RefusedHeld)(s.ClaimTurnWork(e.Context(), rival))
	e.Processes.Exit(100)
	e.refused(lashstore.RefusedHeld)(s.ClaimTurnWork(e.Context(), request(l, "opaque")))
	second := e.claim(s, rival)
	equal(e, "fencing token", second.FencingToken, first.FencingToken+1)
}

// Section 13, Queue: claiming by ids is one transaction. One that claims, compares
// and gives back raises fencing tokens for nothing (W13).
func xClaimExactIsOneTransaction(e *env) {
	s := e.create("root")
	var all []lashstore.BatchID
	for _, text := range []string{"1", "2", "3"} {
		all = append(all, e.enqueue(s, joining("g", text)).BatchID)
	}
	r := request(e.lease(s, "a"), "a")
	for name, ids := range map[string][]lashstore.BatchID{
		"another order": {all[1], all[0]},
		"a gap":         {all[0], all[2]},
		"twice":         {all[0], all[0]},
		"unknown":       {all[0], "qwb:00000000000000000000000000000000"},
		"not the first": {all[1], all[2]},
	} {
		res, err := s.ClaimBatches(e.Context(), r, ids)
		if name == "twice" && isErr(err, lashstore.ErrInvalid) {
			continue
		}
		e.refused(lashstore.RefusedNotLeading)(res, err)
	}
	claim := e.granted(s.ClaimBatches(e.Context(), r, all[:2]))
	equal(e, "claimed", batchIDs(claim.Batches), all[:2])
	equal(e, "fencing token", claim.FencingToken, 1)
}

// A claim that somebody else made must be of no use, whatever it looks like.
func xClaimStaleClaims(e *env) {
	s := e.create("root")
	e.enqueue(s, exclusive("work"))
	claim := e.claim(s, request(e.lease(s, "a"), "a"))
	for name, change := range map[string]func(*lashstore.Claim){
		"token":       func(c *lashstore.Claim) { c.Token = lashstore.Token(strings.Repeat("0", 32)) },
		"no token":    func(c *lashstore.Claim) { c.Token = "" },
		"claim id":    func(c *lashstore.Claim) { c.ClaimID = "qwc:9:9" },
		"no claim id": func(c *lashstore.Claim) { c.ClaimID = "" },
		"session":     func(c *lashstore.Claim) { c.SessionID = "other" },
	} {
		forged := claim
		change(&forged)
		if _, err := s.RenewClaim(e.Context(), forged, leaseTTL); !isErr(err, lashstore.ErrClaimLost) && !isErr(err, lashstore.ErrInvalid) && !isErr(err, lashstore.ErrWrongSession) {
			e.Errorf("renewal with another %s: got %v", name, err)
		}
		if err := s.AbandonClaim(e.Context(), forged); err != nil {
			e.Logf("abandoning with another %s: %v", name, err)
		}
		equal(e, "pending", len(e.pending(s)), 0)
	}
	e.must(s.AbandonClaim(e.Context(), claim))
	e.must(s.AbandonClaim(e.Context(), claim))
	_, err := s.RenewClaim(e.Context(), claim, leaseTTL)
	e.is(err, lashstore.ErrClaimLost)
}

// A request that is wrong must not take work along.
func xClaimBadInput(e *env) {
	s := e.create("root")
	batch := e.enqueue(s, exclusive("work")).BatchID
	l := e.lease(s, "a")
	for name, change := range map[string]func(*lashstore.ClaimRequest){
		"owner":     func(r *lashstore.ClaimRequest) { r.Owner = lashstore.Owner{} },
		"ttl":       func(r *lashstore.ClaimRequest) { r.TTL = -1 },
		"long ttl":  func(r *lashstore.ClaimRequest) { r.TTL = lashstore.MaxTTL + 1 },
		"boundary":  func(r *lashstore.ClaimRequest) { r.Boundary = "soon" },
		"limit":     func(r *lashstore.ClaimRequest) { r.MaxBatches = lashstore.MaxClaimBatches + 1 },
		"minus one": func(r *lashstore.ClaimRequest) { r.MaxBatches = -1 },
	} {
		r := request(l, "a")
		change(&r)
		for call, claim := range map[string]func() (lashstore.ClaimResult, error){
			"turn work": func() (lashstore.ClaimResult, error) { return s.ClaimTurnWork(e.Context(), r) },
			"command":   func() (lashstore.ClaimResult, error) { return s.ClaimCommand(e.Context(), r) },
			"batches": func() (lashstore.ClaimResult, error) {
				return s.ClaimBatches(e.Context(), r, []lashstore.BatchID{batch})
			},
		} {
			if _, err := claim(); !isErr(err, lashstore.ErrInvalid) {
				e.Errorf("%s, %s: got %v, want %q", call, name, err, lashstore.ErrInvalid)
			}
		}
	}
	equal(e, "pending", e.pending(s), []lashstore.BatchID{batch})
	claim := e.claim(s, request(l, "a"))
	for _, ttl := range []time.Duration{-1, lashstore.MaxTTL + 1} {
		_, err := s.RenewClaim(e.Context(), claim, ttl)
		e.is(err, lashstore.ErrInvalid)
	}
}
