// Package objectstore keeps snapshots in a bucket of JetStream's object store.
//
// An object is there once its description is, which is written behind its parts;
// one that replaces another takes its place in that moment. A process that is
// killed while it writes leaves parts that nobody lists and that take room in the
// bucket's stream (OBJ_<bucket>); [Store.Sweep] removes them. A Put may leave a
// goroutine of the library's behind, which waits for nothing.
package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/raptorflow/tercet/internal/snapshot"
)

// Store is a bucket.
type Store struct {
	bucket jetstream.ObjectStore
	js     jetstream.JetStream
	name   string
}

var (
	_ snapshot.Store   = (*Store)(nil)
	_ snapshot.Sweeper = (*Store)(nil)
)

// Open returns the store in a bucket. It fails with [jetstream.ErrBucketNotFound]
// if there is none; see [Create].
func Open(ctx context.Context, js jetstream.JetStream, bucket string) (*Store, error) {
	b, err := js.ObjectStore(ctx, bucket)
	if err != nil {
		return nil, fmt.Errorf("open bucket %q of snapshots: %w", bucket, err)
	}
	return &Store{b, js, bucket}, nil
}

// Create is [Open] that makes a bucket which is missing, on disk, on so many
// servers.
func Create(ctx context.Context, js jetstream.JetStream, bucket string, replicas int) (*Store, error) {
	s, err := Open(ctx, js, bucket)
	if !errors.Is(err, jetstream.ErrBucketNotFound) {
		return s, err
	}
	b, err := js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{
		Bucket: bucket, Description: "snapshots of Tercet nodes", Storage: jetstream.FileStorage, Replicas: replicas,
	})
	if errors.Is(err, jetstream.ErrBucketExists) {
		return Open(ctx, js, bucket) // somebody else was quicker
	}
	if err != nil {
		return nil, fmt.Errorf("create bucket %q for snapshots: %w", bucket, err)
	}
	return &Store{b, js, bucket}, nil
}

// Put implements [snapshot.Store].
func (s *Store) Put(ctx context.Context, name string, r io.Reader) error {
	read := &failing{r: r}
	_, err := s.bucket.Put(ctx, jetstream.ObjectMeta{Name: name}, read)
	return errors.Join(read.err, err)
}

// failing remembers the error of a reader, of which the bucket tells only the
// text.
type failing struct {
	r   io.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// Get implements [snapshot.Store].
func (s *Store) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := s.bucket.Get(ctx, name)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, snapshot.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// List implements [snapshot.Store].
func (s *Store) List(ctx context.Context, prefix string) ([]string, error) {
	all, err := s.bucket.List(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, err
	}
	var names []string
	for _, o := range all {
		if strings.HasPrefix(o.Name, prefix) {
			names = append(names, o.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Remove implements [snapshot.Store].
func (s *Store) Remove(ctx context.Context, name string) error {
	err := s.bucket.Delete(ctx, name)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil
	}
	return err
}
