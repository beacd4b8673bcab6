// Package faultproxy is an HTTP proxy that misbehaves on script, to stand between a
// client of S3 and a real server in tests. Signatures stay valid: the request goes
// on as it came, with its Host header.
//
// # Nouns
//
// A [Proxy] forwards requests to one server. A [Fault] is what it does with one
// request instead of forwarding it well. A [Script] chooses the fault of each
// request from what it is; without a script the proxy is an honest one. A [Gate]
// holds requests until a test says so: nothing here waits for time to pass.
//
// # Guarantees
//
//	G1  What no fault was chosen for is forwarded unchanged, both ways.
//	G2  The script is asked once for each request, in the order of their numbers, and
//	    never twice at a time. Every request and its fault are remembered.
//	G3  A fault of the way to the server leaves the server without the whole request;
//	    a fault of the way back comes after the server has acted and answered.
//	G4  After [Proxy.Close] nothing of the proxy runs: no goroutine, no connection, no
//	    request to the server.
//
// A fault that finds nothing to damage, such as a flipped bit of an empty body, lets
// the request pass and is remembered as [Pass].
package faultproxy
