// Package s3cas keeps objects in a bucket of S3, or of a server that speaks its
// protocol: the driver of several machines.
//
//	s3://<bucket>/<prefix>/<prefix of the store>b3/<hh>/<name>   an object
//
// A [Location] says where, [Open] makes a [Driver], [Driver.Diagnose] says what is
// wrong with a place that does not work. Credentials come from the SDK's chain and
// are never part of a location.
//
// # Guarantees
//
//	G1  No invariant rests on a conditional request: servers ignore them or let several
//	    writers win (spec 03). The one condition that is sent, If-Match when a broken
//	    transfer is continued, is an alarm; the ETags are compared as well.
//	G2  Every request may be sent twice: an answer can be lost after the server acted.
//	    So each is repeated, with jitter, up to [Options.MaxAttempts] times, when the
//	    connection breaks or the server asks for it (408, 409, 429, 500 to 504).
//	G3  Nothing waits for ever, although the context has no end: there are limits for
//	    connecting, for the answer's header, and for a transfer that stands still.
//	G4  A reader ends with io.EOF only when all bytes of the range were handed out. A
//	    transfer that breaks is continued where it was; an object that is another one
//	    by then, and a server that ignores ranges, are noticed.
//	G5  A multipart upload that does not succeed is aborted, also when the context is
//	    done: no parts are left behind unless the process dies or the server is gone.
//	    (One whose beginning was not answered may stay; it has no parts.)
//	G6  Bodies are covered by the signature, over TLS too. Other checksums are sent only
//	    where they are required, as Content-MD5: the SDK's default ones break several
//	    servers.
//	G7  Errors are an [*Error] with a [Reason] and, where something can be done, a hint;
//	    a full bucket or quota is [lashstore.ErrDiskFull], a write that is not permitted
//	    [lashstore.ErrReadOnly], anything else [lashstore.ErrStorage]. They hold
//	    no credentials and no headers of a request, and wrap nothing of the SDK.
//	G8  A signed request is sent to the endpoint and nowhere else: redirects are errors
//	    that say which region the bucket is in.
//
// # Times
//
// An object's ModTime is by the server's clock and cut to whole seconds, the
// resolution that all servers have. Compare it with the server's clock, never with
// ours, and leave a margin.
//
// # Metrics
//
//	lashstore_s3_requests_total{op, result}  requests, however many attempts each took;
//	                                         op is the name of the request, result is ok,
//	                                         not_found, canceled, or an [Error]'s reason
//	lashstore_s3_request_seconds{op}         how long they took, attempts and waits
//	                                         included; for get_object until the header
//	lashstore_s3_retries_total               repeated attempts and continued transfers
//	lashstore_s3_bytes_total{direction}      bytes of objects, sent and received
//	lashstore_s3_in_flight                   requests that wait for their answer
//
// # Costs
//
// A Put of up to 16 MiB, a Get, a Stat and a Delete of up to 1,000 keys are a
// request each; a List is one for each 1,000 objects. The first Stat that finds
// nothing takes one more, to tell an absent object from an absent bucket.
package s3cas
