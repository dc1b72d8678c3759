// Package s3 keeps snapshots in a bucket of Amazon S3 or of what speaks its
// protocol.
//
// An object is sent in parts and is there when the last call completes it. A
// process that is killed before leaves parts that List does not show and that
// cost room; [Store.Sweep] removes them, which wants the permissions
// s3:ListBucketMultipartUploads and s3:AbortMultipartUpload.
//
// It is apart from the other stores so that who embeds a node does not link a
// client of S3; cmd/node and cmd/tercet do.
package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/snapshot"
)

// Config says which bucket, and where.
type Config struct {
	// Endpoint is host:port of the service; default s3.amazonaws.com. Plain: it
	// does not speak TLS.
	Endpoint string
	Plain    bool
	Region   string
	// Bucket must exist. Names begin with Prefix.
	Bucket, Prefix string
	// Credentials, if nil, are looked for in AWS_ACCESS_KEY_ID and its like, the
	// file of AWS's tools, and the machine's role.
	Credentials *credentials.Credentials
}

// ParseURL reads s3://BUCKET/PREFIX?endpoint=http://HOST:PORT&region=REGION, of
// which all but the bucket may be missing. It fails with [events.ErrInvalid].
func ParseURL(text string) (Config, error) {
	bad := func(why string) (Config, error) {
		return Config{}, fmt.Errorf("%w S3 URL: %s", events.ErrInvalid, why)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return bad("it is none")
	case u.Scheme != "s3" || u.Host == "" || u.User != nil:
		return bad("want s3://BUCKET/PREFIX; credentials belong in the environment")
	}
	cfg := Config{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/"), Region: u.Query().Get("region")}
	for name := range u.Query() {
		if name != "endpoint" && name != "region" {
			return bad(fmt.Sprintf("unknown parameter %q", name))
		}
	}
	if at := u.Query().Get("endpoint"); at != "" {
		e, err := url.Parse(at)
		if err != nil || e.Host == "" || e.Scheme != "http" && e.Scheme != "https" || strings.Trim(e.Path, "/") != "" {
			return bad("want endpoint=http://HOST:PORT or https://HOST:PORT")
		}
		cfg.Endpoint, cfg.Plain = e.Host, e.Scheme == "http"
	}
	return cfg, nil
}

// Store is a bucket.
type Store struct {
	client *minio.Client
	cfg    Config
}

var (
	_ snapshot.Store   = (*Store)(nil)
	_ snapshot.Sweeper = (*Store)(nil)
)

// New returns the store that cfg names. It calls nobody.
func New(cfg Config) (*Store, error) {
	if cfg.Endpoint == "" {
		cfg.Endpoint = "s3.amazonaws.com"
	}
	if cfg.Credentials == nil {
		cfg.Credentials = credentials.NewChainCredentials([]credentials.Provider{
			&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{},
		})
	}
	c, err := minio.New(cfg.Endpoint, &minio.Options{Creds: cfg.Credentials, Secure: !cfg.Plain, Region: cfg.Region})
	if err != nil {
		return nil, fmt.Errorf("%w S3 endpoint: %w", events.ErrInvalid, err)
	}
	return &Store{client: c, cfg: cfg}, nil
}

// above begins the keys of all objects.
func (s *Store) above() string {
	if s.cfg.Prefix == "" {
		return ""
	}
	return s.cfg.Prefix + "/"
}

func (s *Store) key(name string) string { return path.Join(s.cfg.Prefix, name) }

const (
	// part is how much of an object is held in memory until it is sent. There may
	// be ten thousand.
	part = 16 << 20
	// small objects, as manifests are, go in one request.
	small = 1 << 20
)

// Put implements [snapshot.Store].
func (s *Store) Put(ctx context.Context, name string, r io.Reader) error {
	begin, err := io.ReadAll(io.LimitReader(r, small))
	if err != nil {
		return err
	}
	size := int64(len(begin))
	r = io.MultiReader(bytes.NewReader(begin), r)
	if size == small {
		size = -1 // or more
	}
	_, err = s.client.PutObject(ctx, s.cfg.Bucket, s.key(name), r, size, minio.PutObjectOptions{PartSize: part, NumThreads: 1})
	return err
}

// Get implements [snapshot.Store].
func (s *Store) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	o, err := s.client.GetObject(ctx, s.cfg.Bucket, s.key(name), minio.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	if _, err := o.Stat(); err != nil {
		if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
			err = snapshot.ErrNotFound
		}
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

// List implements [snapshot.Store].
func (s *Store) List(ctx context.Context, prefix string) ([]string, error) {
	above := s.above()
	ctx, stop := context.WithCancel(ctx) // the lister ends with it
	defer stop()
	var names []string
	for o := range s.client.ListObjects(ctx, s.cfg.Bucket, minio.ListObjectsOptions{Prefix: above + prefix, Recursive: true}) {
		if o.Err != nil {
			return nil, o.Err
		}
		names = append(names, strings.TrimPrefix(o.Key, above))
	}
	slices.Sort(names)
	return names, ctx.Err()
}

// Remove implements [snapshot.Store].
func (s *Store) Remove(ctx context.Context, name string) error {
	return s.client.RemoveObject(ctx, s.cfg.Bucket, s.key(name), minio.RemoveObjectOptions{})
}

// Sweep implements [snapshot.Sweeper].
func (s *Store) Sweep(ctx context.Context, prefix string, before time.Time) (swept int, err error) {
	ctx, stop := context.WithCancel(ctx) // the lister ends with it
	defer stop()
	core := minio.Core{Client: s.client}
	for u := range s.client.ListIncompleteUploads(ctx, s.cfg.Bucket, s.above()+prefix, true) {
		if u.Err != nil {
			return swept, u.Err
		}
		if !u.Initiated.Before(before) {
			continue // somebody is writing it
		}
		err := core.AbortMultipartUpload(ctx, s.cfg.Bucket, u.Key, u.UploadID)
		if err != nil && minio.ToErrorResponse(err).Code != minio.NoSuchUpload {
			return swept, err
		}
		swept++
	}
	return swept, ctx.Err()
}
