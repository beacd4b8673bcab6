package localstack

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"

	"github.com/minio/madmin-go/v3"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// minio is MinIO on one folder, without its console.
type minio struct{}

func (minio) version() string { return pinned(minioVersion) }

func (m minio) install(ctx context.Context, t Tools) (string, error) {
	return t.goProgram(ctx, "minio", pinned(minioModule), m.version())
}

func (minio) command(path string, s site) (command, error) {
	if err := os.MkdirAll(s.data(), 0o700); err != nil {
		return command{}, fmt.Errorf("prepare MinIO: %w", err)
	}
	return command{
		path: path,
		args: []string{"server", s.data(), "--address", s.address(), "--quiet"},
		env: []string{
			"MINIO_ROOT_USER=" + s.accounts.Root.Key,
			"MINIO_ROOT_PASSWORD=" + s.accounts.Root.Secret,
			"MINIO_REGION=" + s.region,
			"MINIO_BROWSER=off",
			"MINIO_UPDATE=off",
		},
	}, nil
}

// healthPath is that of readiness: the object layer is up.
func (minio) healthPath() string { return "/minio/health/ready" }

// policyName names, in MinIO, what the user may do.
const policyName = "lashstore-bucket"

// bucketPolicy allows everything that a store does with one bucket, and nothing
// else: neither other buckets nor the bucket's own removal.
const bucketPolicy = `{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
      "Resource": ["arn:aws:s3:::BUCKET"]
    },
    {
      "Effect": "Allow",
      "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
      "Resource": ["arn:aws:s3:::BUCKET/*"]
    }
  ]
}`

// alreadyAttached is MinIO's code for a policy that the user has.
const alreadyAttached = "XMinioAdminPolicyChangeAlreadyApplied"

func (minio) provision(ctx context.Context, s site) error {
	if err := createBucket(ctx, s); err != nil {
		return err
	}
	admin, err := madmin.NewWithOptions(s.address(), &madmin.Options{
		Creds: credentials.NewStaticV4(s.accounts.Root.Key, s.accounts.Root.Secret, ""),
	})
	if err != nil {
		return fmt.Errorf("reach MinIO's administration: %w", err)
	}
	user := s.accounts.User
	if err := admin.AddCannedPolicy(ctx, policyName, []byte(strings.ReplaceAll(bucketPolicy, "BUCKET", s.bucket))); err != nil {
		return fmt.Errorf("make policy %s: %w", policyName, err)
	}
	if err := admin.AddUser(ctx, user.Key, user.Secret); err != nil {
		return fmt.Errorf("make user %s: %w", user.Key, err)
	}
	_, err = admin.AttachPolicy(ctx, madmin.PolicyAssociationReq{User: user.Key, Policies: []string{policyName}})
	if err != nil && madmin.ToErrorResponse(err).Code != alreadyAttached {
		return fmt.Errorf("give user %s its policy: %w", user.Key, err)
	}
	return nil
}

// account has names of 20 and secrets of 26 characters: MinIO takes 3 to 20 and 8
// to 40.
func (minio) account() Account { return randomAccount() }

// randomAccount has 80 random bits in its name and 130 in its secret.
func randomAccount() Account {
	return Account{Key: "LASH" + rand.Text()[:16], Secret: rand.Text()}
}
