package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func conditions() []question {
	return []question{
		{"PUT `If-None-Match: *`: absent / present", askIfNoneMatch},
		{"the same, 8 writers at once, 40 rounds", func(ctx context.Context, t *target) (string, error) {
			return race(ctx, t, func(ctx context.Context, name string) (*s3.PutObjectInput, error) {
				return &s3.PutObjectInput{Bucket: &t.Bucket, Key: t.key(name), IfNoneMatch: aws.String("*")}, nil
			})
		}},
		{"PUT `If-Match`: right / wrong / object absent", askIfMatch},
		{"the same, 8 writers at once, 40 rounds", func(ctx context.Context, t *target) (string, error) {
			return race(ctx, t, func(ctx context.Context, name string) (*s3.PutObjectInput, error) {
				etag, err := t.put(ctx, name, "first")
				return &s3.PutObjectInput{Bucket: &t.Bucket, Key: t.key(name), IfMatch: &etag}, err
			})
		}},
		{"DELETE `If-Match`, wrong", askDeleteIfMatch},
		{"GET `If-Match`, wrong", askGetIfMatch},
	}
}

// wrongETag is that of no object here.
const wrongETag = `"00000000000000000000000000000000"`

func askIfNoneMatch(ctx context.Context, t *target) (string, error) {
	var got [2]string
	for i := range got {
		_, err := t.plain.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &t.Bucket, Key: t.key("k"), Body: strings.NewReader("x"), IfNoneMatch: aws.String("*"),
		})
		got[i] = outcome(err)
	}
	return strings.Join(got[:], " / "), nil
}

func askIfMatch(ctx context.Context, t *target) (string, error) {
	etag, err := t.put(ctx, "k", "first")
	if err != nil {
		return "", err
	}
	var got []string
	for _, try := range []struct{ name, etag string }{{"k", etag}, {"k", wrongETag}, {"absent", etag}} {
		_, err := t.plain.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &t.Bucket, Key: t.key(try.name), Body: strings.NewReader("second"), IfMatch: &try.etag,
		})
		got = append(got, outcome(err))
	}
	return strings.Join(got, " / "), nil
}

// race lets writers meet and counts the rounds in which not exactly one won.
func race(ctx context.Context, t *target, prepare func(context.Context, string) (*s3.PutObjectInput, error)) (string, error) {
	const rounds, writers = 40, 8
	none, several := 0, 0
	for round := range rounds {
		input, err := prepare(ctx, fmt.Sprintf("r%d", round))
		if err != nil {
			return "", err
		}
		var won atomic.Int64
		var group sync.WaitGroup
		start := make(chan struct{})
		for w := range writers {
			group.Go(func() {
				mine := *input
				mine.Body = strings.NewReader(fmt.Sprintf("writer %d", w))
				<-start
				if _, err := t.plain.PutObject(ctx, &mine); err == nil {
					won.Add(1)
				}
			})
		}
		close(start)
		group.Wait()
		switch n := won.Load(); {
		case n == 0:
			none++
		case n > 1:
			several++
		}
	}
	return fmt.Sprintf("one winner in %d, several in %d, none in %d", rounds-none-several, several, none), nil
}

func askDeleteIfMatch(ctx context.Context, t *target) (string, error) {
	if _, err := t.put(ctx, "k", "x"); err != nil {
		return "", err
	}
	_, err := t.plain.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &t.Bucket, Key: t.key("k"), IfMatch: aws.String(wrongETag)})
	return withPresence(ctx, t, "k", outcome(err))
}

// withPresence adds whether an object is still there.
func withPresence(ctx context.Context, t *target, name, got string) (string, error) {
	there, err := t.exists(ctx, name)
	if err != nil {
		return "", err
	}
	if there {
		return got + ", object kept", nil
	}
	return got + ", object deleted", nil
}

func askGetIfMatch(ctx context.Context, t *target) (string, error) {
	if _, err := t.put(ctx, "k", "x"); err != nil {
		return "", err
	}
	out, err := t.plain.GetObject(ctx, &s3.GetObjectInput{Bucket: &t.Bucket, Key: t.key("k"), IfMatch: aws.String(wrongETag)})
	if err == nil {
		err = out.Body.Close()
	}
	return outcome(err), nil
}
