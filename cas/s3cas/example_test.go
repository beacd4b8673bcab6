package s3cas_test

import (
	"context"
	"fmt"

	"github.com/lashstore/lashstore/cas/s3cas"
)

// A location is a URL without credentials; opening it sends nothing.
func Example() {
	loc, err := s3cas.ParseURL("s3://lashstore/production/?endpoint=http://127.0.0.1:9000")
	if err != nil {
		fmt.Println(err)
		return
	}
	d, err := s3cas.Open(context.Background(), loc, s3cas.Options{Concurrency: 64})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(loc.Bucket, loc.Prefix)
	fmt.Println(d.Location())
	if err := d.Close(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// lashstore production
	// s3://lashstore/production?endpoint=http%3A%2F%2F127.0.0.1%3A9000&region=us-east-1
}
