package localstack

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// client speaks to a server as one of its accounts.
func (s site) client(a Account) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint:               aws.String(s.endpoint),
		Region:                     s.region,
		UsePathStyle:               true,
		Credentials:                credentials.NewStaticCredentialsProvider(a.Key, a.Secret, ""),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	})
}

// createBucket makes the bucket as root. One that is there already is fine.
func createBucket(ctx context.Context, s site) error {
	_, err := s.client(s.accounts.Root).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(s.bucket)})
	if owned := (*types.BucketAlreadyOwnedByYou)(nil); err != nil && !errors.As(err, &owned) {
		return fmt.Errorf("make bucket %s: %w", s.bucket, err)
	}
	return nil
}
