package cas

// chunkEncoder stores chunks in the form that costs least.
type chunkEncoder struct {
	store    *Store
	compress bool // as hints and profile have it
}

// When a delta is worth it, in hundredths of what storing the chunk whole would cost
// (ADR 8): with the deltas behind it at most maxDeltaShare, which bounds what a chunk
// costs to keep and to read, and by itself at most maxOneDelta.
const (
	maxDeltaShare = 120
	maxOneDelta   = 80
)

// encode appends the stored form of raw to out, unless it is raw itself. base is what a delta may be made
// against, nil for none; whole is what storing the base whole costs, and chain
// what the deltas behind it have cost so far.
func (e *chunkEncoder) encode(out, raw, base []byte, whole, chain int64) (_ []byte, form Form, err error) {
	at := len(out)
	if base != nil {
		limit := min(whole*maxDeltaShare/100-chain, whole*maxOneDelta/100, int64(len(raw))-1)
		if out, err = compressDelta(out, raw, base); err != nil {
			return out, 0, err
		}
		if int64(len(out)-at) <= limit {
			return out, FormDelta, nil
		}
		out = out[:at]
	}
	if e.compress {
		if out, err = compress(e.store.opts.Profile, out, raw); err != nil {
			return out, 0, err
		}
		if saved := len(raw) - (len(out) - at); saved > 0 && saved*minShrink >= len(raw) {
			return out, FormZstd, nil
		}
		out = out[:at]
	}
	return out, FormRaw, nil
}
