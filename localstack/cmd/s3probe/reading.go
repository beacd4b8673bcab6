package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func ranges() []question {
	return []question{
		{"Range of 10 bytes: 0-3 / 8-99 / 10- / -3", func(ctx context.Context, t *target) (string, error) {
			return askRanges(ctx, t, "0123456789", "0-3", "8-99", "10-", "-3")
		}},
		{"Range of 0 bytes: 0- / 0-0 / -1", func(ctx context.Context, t *target) (string, error) {
			return askRanges(ctx, t, "", "0-", "0-0", "-1")
		}},
		{"absent object: GET / GET with Range / HEAD", askAbsent},
	}
}

func askRanges(ctx context.Context, t *target, body string, specs ...string) (string, error) {
	if _, err := t.put(ctx, "k", body); err != nil {
		return "", err
	}
	var got []string
	for _, spec := range specs {
		out, err := t.plain.GetObject(ctx, &s3.GetObjectInput{Bucket: &t.Bucket, Key: t.key("k"), Range: aws.String("bytes=" + spec)})
		if err != nil {
			got = append(got, outcome(err))
			continue
		}
		content, err := io.ReadAll(out.Body)
		if err := errors.Join(err, out.Body.Close()); err != nil {
			return "", err
		}
		code := http.StatusPartialContent
		if out.ContentRange == nil {
			code = http.StatusOK
		}
		got = append(got, fmt.Sprintf("%d %q", code, content))
	}
	return strings.Join(got, " / "), nil
}

func askAbsent(ctx context.Context, t *target) (string, error) {
	_, get := t.plain.GetObject(ctx, &s3.GetObjectInput{Bucket: &t.Bucket, Key: t.key("absent")})
	_, part := t.plain.GetObject(ctx, &s3.GetObjectInput{Bucket: &t.Bucket, Key: t.key("absent"), Range: aws.String("bytes=0-3")})
	_, head := t.plain.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &t.Bucket, Key: t.key("absent")})
	return strings.Join([]string{outcome(get), outcome(part), outcome(head)}, " / "), nil
}

func listing() []question {
	return []question{
		{"ListObjectsV2: order of keys", askOrder},
		{"start-after: a key that exists / one that does not", askStartAfter},
		{"max-keys=2000 with 1,001 objects", askPageSize},
		{"a key and one below it (`a`, `a/b`)", askFileAndFolder},
		{"PUT at once in GET / HEAD / list", askVisible},
		{"LastModified: in the list / in HEAD", askLastModified},
	}
}

func (t *target) list(ctx context.Context, startAfter *string) ([]string, error) {
	var names []string
	pages := s3.NewListObjectsV2Paginator(t.plain, &s3.ListObjectsV2Input{Bucket: &t.Bucket, Prefix: &t.prefix, StartAfter: startAfter})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list: %w", err)
		}
		for _, o := range page.Contents {
			names = append(names, strings.TrimPrefix(aws.ToString(o.Key), t.prefix))
		}
	}
	return names, nil
}

// askOrder uses keys whose order differs between bytes, folders and UTF-16.
func askOrder(ctx context.Context, t *target) (string, error) {
	want := []string{"B", "a", "a b", "a+b", "a-b", "a.b", "b/c", "b0", "é", "\ufb01", "\U0001f600"}
	slices.Sort(want)
	for _, name := range want {
		if _, err := t.put(ctx, name, "x"); err != nil {
			return "", err
		}
	}
	got, err := t.list(ctx, nil)
	switch {
	case err != nil:
		return "", err
	case slices.Equal(got, want):
		return "by bytes", nil
	}
	return fmt.Sprintf("%q", got), nil
}

func askStartAfter(ctx context.Context, t *target) (string, error) {
	for _, name := range []string{"a", "b", "d"} {
		if _, err := t.put(ctx, name, "x"); err != nil {
			return "", err
		}
	}
	var got []string
	for _, after := range []string{"b", "c"} {
		names, err := t.list(ctx, t.key(after))
		if err != nil {
			return "", err
		}
		text := "greater keys only"
		if !slices.Equal(names, []string{"d"}) {
			text = fmt.Sprintf("%q", names)
		}
		got = append(got, text)
	}
	return strings.Join(got, " / "), nil
}

func askPageSize(ctx context.Context, t *target) (string, error) {
	for i := range 1001 {
		if _, err := t.put(ctx, fmt.Sprintf("k%04d", i), ""); err != nil {
			return "", err
		}
	}
	out, err := t.plain.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &t.Bucket, Prefix: &t.prefix, MaxKeys: aws.Int32(2000)})
	if err != nil {
		return outcome(err), nil // a refusal is an answer
	}
	return fmt.Sprintf("%d, truncated: %t", len(out.Contents), aws.ToBool(out.IsTruncated)), nil
}

func askFileAndFolder(ctx context.Context, t *target) (string, error) {
	var got []string
	for _, name := range []string{"a", "a/b"} {
		_, err := t.plain.PutObject(ctx, &s3.PutObjectInput{Bucket: &t.Bucket, Key: t.key(name), Body: strings.NewReader("x")})
		got = append(got, outcome(err))
	}
	return strings.Join(got, " / "), nil
}

func askVisible(ctx context.Context, t *target) (string, error) {
	const rounds = 50
	misses := [3]int{}
	for i := range rounds {
		name := fmt.Sprintf("k%d", i)
		if _, err := t.put(ctx, name, "x"); err != nil {
			return "", err
		}
		names, err := t.list(ctx, nil)
		if err != nil {
			return "", err
		}
		if !slices.Contains(names, name) {
			misses[2]++
		}
		if there, err := t.exists(ctx, name); err != nil || !there {
			misses[1]++
		}
		out, err := t.plain.GetObject(ctx, &s3.GetObjectInput{Bucket: &t.Bucket, Key: t.key(name)})
		if err == nil {
			err = out.Body.Close()
		}
		if err != nil {
			misses[0]++
		}
	}
	return fmt.Sprintf("missed %d / %d / %d of %d", misses[0], misses[1], misses[2], rounds), nil
}

// lastModified finds the fraction of a second in a list.
var lastModified = regexp.MustCompile(`<LastModified>[^.<]*(?:\.(\d+))?Z?</LastModified>`)

func askLastModified(ctx context.Context, t *target) (string, error) {
	for i := range 20 {
		if _, err := t.put(ctx, fmt.Sprintf("k%d", i), "x"); err != nil {
			return "", err
		}
	}
	answer, err := t.raw(ctx, http.MethodGet, "", url.Values{"list-type": {"2"}, "prefix": {t.prefix}}, nil, nil, "")
	if err != nil {
		return "", err
	}
	digits := 0 // after which only zeros were seen
	for _, match := range lastModified.FindAllSubmatch(answer.body, -1) {
		digits = max(digits, len(strings.TrimRight(string(match[1]), "0")))
	}
	names := map[int]string{0: "s", 1: "100 ms", 2: "10 ms", 3: "ms"}
	text, ok := names[digits]
	if !ok {
		text = fmt.Sprintf("%d digits of a second", digits)
	}
	return text + " / s (the header has no fraction)", nil
}
