package s3_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/snapshot"
	"github.com/raptorflow/tercet/internal/snapshot/s3"
	"github.com/raptorflow/tercet/internal/snapshot/storetest"
	"github.com/raptorflow/tercet/test/fakes3"
)

func open(t *testing.T, url string) (*s3.Store, s3.Config) {
	t.Helper()
	cfg, err := s3.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Credentials = credentials.NewStaticV4("user", "secret", "")
	s, err := s3.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, cfg
}

func TestStore(t *testing.T) {
	server := fakes3.Start(t)
	var n atomic.Int64
	storetest.Run(t, func(t *testing.T) (snapshot.Store, snapshot.Store) {
		url := server.Bucket(t, fmt.Sprint("bucket", n.Add(1)))
		s, _ := open(t, url)
		again, _ := open(t, url)
		return s, again
	})
}

// Parts of uploads that nobody will complete go once they are old, and no others.
func TestOldPartsAreSweptAway(t *testing.T) {
	s, cfg := open(t, fakes3.Start(t).Bucket(t, "bucket"))
	client, err := minio.NewCore(cfg.Endpoint, &minio.Options{Creds: cfg.Credentials, Region: cfg.Region})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"some/prefix/shop/a.data", "some/prefix/other/a.data"} {
		if _, err := client.NewMultipartUpload(t.Context(), cfg.Bucket, name, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put(t.Context(), "shop/whole.data", strings.NewReader("whole")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		prefix string
		before time.Time
		want   int
	}{{"shop/", time.Now().Add(-time.Hour), 0}, {"shop/", time.Now().Add(time.Hour), 1}, {"shop/", time.Now().Add(time.Hour), 0}, {"", time.Now().Add(time.Hour), 1}} {
		if n, err := s.Sweep(t.Context(), c.prefix, c.before); n != c.want || err != nil {
			t.Errorf("swept %d under %q, %v, want %d", n, c.prefix, err, c.want)
		}
	}
	if names, err := s.List(t.Context(), ""); err != nil || len(names) != 1 {
		t.Errorf("left %q, %v, want what is whole", names, err)
	}
}

func TestParseURL(t *testing.T) {
	for text, want := range map[string]s3.Config{
		"s3://b":                                        {Bucket: "b"},
		"s3://b/p/q?region=eu-1":                        {Bucket: "b", Prefix: "p/q", Region: "eu-1"},
		"s3://b?endpoint=http://localhost:9000":         {Bucket: "b", Endpoint: "localhost:9000", Plain: true},
		"s3://b/?endpoint=https%3A%2F%2Fs3.example.com": {Bucket: "b", Endpoint: "s3.example.com"},
	} {
		if got, err := s3.ParseURL(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "b", "s3://", "http://b", "s3://user:secret@b", "s3://b?endpoint=host:9000", "s3://b?retries=3"} {
		if _, err := s3.ParseURL(text); !errors.Is(err, events.ErrInvalid) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want ErrInvalid", text, err)
		}
	}
}
