package gc

// What tests want to know of a collector's inside.
const (
	LeaseTTL   = leaseTTL
	ShardCount = shardCount
	MarkShard  = markShard
	MaxIdle    = maxIdle
	ResumeTime = resumeWithin
)
