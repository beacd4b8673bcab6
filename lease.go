package lashstore

import (
	"context"
	"time"
)

// LivenessKind says what evidence an owner offers of being alive.
type LivenessKind string

// The kinds of evidence. The empty kind means [LivenessOpaque].
const (
	LivenessOpaque       LivenessKind = "opaque"        // none: only expiry ends the lease
	LivenessLocalProcess LivenessKind = "local_process" // a process of a machine
)

// Liveness lets a rival on the same machine prove that a holder is dead. All
// fields but Kind belong to [LivenessLocalProcess].
type Liveness struct {
	Kind LivenessKind `json:"kind"`
	// HostID names the machine, BootID its current boot (the kernel's random boot
	// id): a process id means nothing on another machine or after a restart.
	HostID string `json:"host_id,omitempty"`
	BootID string `json:"boot_id,omitempty"`
	// PIDNamespace identifies the process-id namespace; containers on one machine
	// have different ones, in which the same number is another process.
	PIDNamespace string `json:"pid_namespace,omitempty"`
	PID          int64  `json:"pid,omitempty"`
	// ProcessStart is the start time of the process in clock ticks since boot, which
	// tells a process from a later one with the same number.
	ProcessStart uint64 `json:"process_start,omitempty"`
}

// Validate reports the first wrong field as an [*InvalidError].
func (l Liveness) Validate() error {
	switch l.Kind {
	case "", LivenessOpaque:
		if l.HostID != "" || l.BootID != "" || l.PIDNamespace != "" || l.PID != 0 || l.ProcessStart != 0 {
			return Invalid("liveness", string(l.Kind), "is opaque and must not carry evidence")
		}
		return nil
	case LivenessLocalProcess:
	default:
		return Invalid("liveness.kind", string(l.Kind), "is not opaque or local_process")
	}
	if err := validateText("liveness.host_id", l.HostID, MaxNameBytes); err != nil {
		return err
	}
	if err := validateText("liveness.boot_id", l.BootID, MaxNameBytes); err != nil {
		return err
	}
	if err := validateOptionalText("liveness.pid_namespace", l.PIDNamespace, MaxNameBytes); err != nil {
		return err
	}
	if l.PID <= 0 {
		return Invalid("liveness.pid", l.PID, "must be positive")
	}
	if l.ProcessStart > MaxCounter {
		return Invalid("liveness.process_start", l.ProcessStart, "is too large")
	}
	return nil
}

// ProcessTable answers whether a process is running; package local supplies that
// of the operating system.
type ProcessTable interface {
	// StartTime returns the start time of the process in ticks since boot, and false
	// if no such process exists. An error means that it could not be found out.
	StartTime(pid int64) (start uint64, exists bool, err error)
}

// DefinitelyDead reports whether holder is proven dead for claimant: both are
// processes of one machine, one boot and one process-id namespace, and either the
// holder's process is gone or its number belongs to a younger one. Any doubt means
// false.
func DefinitelyDead(holder, claimant Liveness, table ProcessTable) bool {
	if holder.Kind != LivenessLocalProcess || claimant.Kind != LivenessLocalProcess ||
		holder.HostID != claimant.HostID || holder.BootID != claimant.BootID ||
		holder.PIDNamespace != claimant.PIDNamespace || holder.PIDNamespace == "" || table == nil {
		return false
	}
	start, exists, err := table.StartTime(holder.PID)
	if err != nil {
		return false
	}
	return !exists || start != holder.ProcessStart
}

// Owner identifies who holds a lease or a claim. Holders are the same when
// OwnerID, IncarnationID and ExecutorID agree; liveness is not compared.
type Owner struct {
	OwnerID       string   `json:"owner_id"`       // stable name of a worker
	IncarnationID string   `json:"incarnation_id"` // one boot or runtime of it
	ExecutorID    string   `json:"executor_id,omitempty"`
	Liveness      Liveness `json:"liveness"`
}

// Validate reports the first wrong field as an [*InvalidError].
func (o Owner) Validate() error {
	if err := validateText("owner_id", o.OwnerID, MaxNameBytes); err != nil {
		return err
	}
	if err := validateText("incarnation_id", o.IncarnationID, MaxNameBytes); err != nil {
		return err
	}
	if err := validateOptionalText("executor_id", o.ExecutorID, MaxNameBytes); err != nil {
		return err
	}
	return o.Liveness.Validate()
}

// SameHolder reports whether two owners are the same holder.
func (o Owner) SameHolder(p Owner) bool {
	return o.OwnerID == p.OwnerID && o.IncarnationID == p.IncarnationID && o.ExecutorID == p.ExecutorID
}

// Fence is presented to use or to release a lease. The zero Fence is "none".
type Fence struct {
	SessionID    SessionID    `json:"session_id"`
	Token        Token        `json:"lease_token"`
	FencingToken FencingToken `json:"fencing_token"`
}

// LeaseHolder describes a lease to others: without its token.
type LeaseHolder struct {
	Owner        Owner        `json:"owner"`
	FencingToken FencingToken `json:"fencing_token"`
	ClaimedAt    time.Time    `json:"claimed_at"`
	ExpiresAt    time.Time    `json:"expires_at"`
}

// Lease is a granted execution lease.
type Lease struct {
	SessionID SessionID `json:"session_id"`
	LeaseHolder
	Token Token `json:"lease_token"`
	// Displaced describes the grant that this one replaced without its release, if
	// any: an expired holder, a dead one, or this holder's own earlier claim.
	Displaced *LeaseHolder `json:"displaced,omitempty"`
}

// Fence returns what to present to use or release the lease.
func (l Lease) Fence() Fence {
	return Fence{SessionID: l.SessionID, Token: l.Token, FencingToken: l.FencingToken}
}

// LeaseStatus says who holds the lease, if anybody does.
type LeaseStatus struct {
	// Holder is nil when the lease is free or has expired.
	Holder *LeaseHolder `json:"holder"`
	// FencingToken is that of the newest grant; 0 if there never was one.
	FencingToken FencingToken `json:"fencing_token"`
}

// Leases grants the right to commit to a session. One clock, the store's, judges
// expiry; a holder should count its time to live from before it asked.
type Leases interface {
	// ClaimLease takes the lease for ttl. If it is free, released or expired, the
	// fencing token rises by one. The present holder may claim again: the expiry never
	// moves back, the fencing token stays, and the token is new, so an earlier
	// claim of the same holder is superseded.
	//
	// Errors: [ErrLeaseHeld] names the holder; [ErrInvalid].
	ClaimLease(ctx context.Context, owner Owner, ttl time.Duration) (Lease, error)
	// ReclaimLease takes the lease from a holder that is proven dead ([DefinitelyDead])
	// and still the one observed. Otherwise it does what ClaimLease would for a
	// claimant that is not the holder.
	ReclaimLease(ctx context.Context, owner Owner, observed LeaseHolder, ttl time.Duration) (Lease, error)
	// RenewLease moves the expiry to ttl from now.
	//
	// Errors: [ErrFenced] if the fence is not the present one or has expired.
	RenewLease(ctx context.Context, fence Fence, ttl time.Duration) (Lease, error)
	// ReleaseLease frees the lease. An expired lease can still be released.
	//
	// Errors: [ErrFenced] if the fence is not the present one.
	ReleaseLease(ctx context.Context, fence Fence) error
	// LeaseStatus says who holds the lease.
	LeaseStatus(ctx context.Context) (LeaseStatus, error)
}
