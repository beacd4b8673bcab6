package testenv

// What the tests of the package see of its inside.
var (
	ReadS3Servers  = readS3Servers
	ErrNoS3Servers = errNoS3Servers
)
