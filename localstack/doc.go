// Package localstack builds, starts and stops S3 servers on this machine, for
// development and tests: MinIO, versitygw and LocalStack, each pinned in
// versions.env, without Docker and as an ordinary user.
//
// # Guarantees
//
//  1. A server listens on the loopback address only.
//  2. Credentials are random and made at the first start, except for LocalStack, which
//     checks none. They are in files that only the user may read, and never on a
//     command line.
//  3. What [Start] returns is ready: its bucket and its user exist. The user is not
//     the administrator and is limited to the bucket, where the server can do that
//     (LocalStack checks no credentials).
//  4. One server per folder: starting it again finds the one that runs.
//  5. [Stop] ends the process that [Start] started and no other: the process id alone
//     is not believed, since ids are used again.
//
// # Files
//
// Everything of one server lies in its folder, by default .localstack/<server>:
//
//	credentials.json   root's and the user's keys; kept, with the data
//	data/              what the server stores
//	lock               held while a server is started or stopped
//	server.log         what the server printed, since its last start
//	state.json         of the process that runs; absent while none does
//
// The servers themselves, once built, lie in a folder shared by all, by default
// .tools, under a name with their version: minio-<version>, versitygw-<version>,
// venv-localstack-<version>.
//
// It is a Go module of its own, so that the clients of the servers' administration
// stay out of the store's. It needs a Unix system.
package localstack
