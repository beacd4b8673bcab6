package localstack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// versitygw is the Versity gateway over a folder: an S3 server of other authors.
type versitygw struct{}

func (versitygw) version() string { return pinned(versitygwVersion) }

func (v versitygw) install(ctx context.Context, t Tools) (string, error) {
	return t.goProgram(ctx, "versitygw", pinned(versitygwModule), v.version())
}

func (versitygw) command(path string, s site) (command, error) {
	iam := filepath.Join(s.dir, "iam")
	// The sidecar holds metadata: extended attributes are not to be had everywhere.
	sidecar := filepath.Join(s.dir, "sidecar")
	for _, dir := range []string{s.data(), iam, sidecar} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return command{}, fmt.Errorf("prepare versitygw: %w", err)
		}
	}
	return command{
		path: path,
		args: []string{"posix", "--sidecar", sidecar, s.data()},
		env: []string{
			"ROOT_ACCESS_KEY_ID=" + s.accounts.Root.Key,
			"ROOT_SECRET_ACCESS_KEY=" + s.accounts.Root.Secret,
			"VGW_PORT=" + s.address(),
			"VGW_REGION=" + s.region,
			"VGW_IAM_DIR=" + iam,
			"VGW_HEALTH=" + versitygw{}.healthPath(),
			"VGW_QUIET=true",
		},
	}, nil
}

func (versitygw) healthPath() string { return "/health" }

// provision makes a user without rights and the bucket as its own. A bucket's owner
// may do everything with it; others are closed to it.
func (v versitygw) provision(ctx context.Context, s site) error {
	user := s.accounts.User
	body, err := xml.Marshal(struct { //nolint:gosec // the secret is what the server is to be told
		XMLName xml.Name `xml:"Account"`
		Access  string
		Secret  string
		Role    string
	}{Access: user.Key, Secret: user.Secret, Role: "user"})
	if err != nil {
		return fmt.Errorf("encode user %s: %w", user.Key, err)
	}
	if err := v.admin(ctx, s, "/create-user", nil, body, "XAdminUserExists"); err != nil {
		return fmt.Errorf("make user %s: %w", user.Key, err)
	}
	owner := http.Header{"X-Vgw-Owner": {user.Key}}
	if err := v.admin(ctx, s, "/"+s.bucket+"/create", owner, nil, "BucketAlreadyOwnedByYou", "BucketAlreadyExists"); err != nil {
		return fmt.Errorf("make bucket %s: %w", s.bucket, err)
	}
	return nil
}

// maxAnswerBytes bounds what is read of an answer of the administration.
const maxAnswerBytes = 64 << 10

// admin sends a request to the gateway's administration, signed by root. An error
// with one of the accepted codes is none.
func (versitygw) admin(ctx context.Context, s site, path string, header http.Header, body []byte, accepted ...string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, s.endpoint+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	maps.Copy(req.Header, header)
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])
	req.Header.Set("X-Amz-Content-Sha256", digest)
	root := aws.Credentials{AccessKeyID: s.accounts.Root.Key, SecretAccessKey: s.accounts.Root.Secret}
	now := time.Now() //nolint:forbidigo // the server compares it with its own clock
	if err := v4.NewSigner().SignHTTP(ctx, root, req, digest, "s3", s.region, now); err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode < http.StatusBadRequest {
		return nil
	}
	var problem struct {
		Code    string
		Message string
	}
	if err := xml.Unmarshal(answer, &problem); err != nil {
		return fmt.Errorf("answer %s: %w", resp.Status, err)
	}
	if slices.Contains(accepted, problem.Code) {
		return nil
	}
	return fmt.Errorf("answer %s: %s: %s", resp.Status, problem.Code, problem.Message)
}

func (versitygw) account() Account { return randomAccount() }
