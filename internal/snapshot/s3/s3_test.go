package s3_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/snapshot"
	"github.com/raptorflow/tercet/internal/snapshot/s3"
	"github.com/raptorflow/tercet/internal/snapshot/storetest"
)

// unchunked takes the signatures between the chunks of a body away, which the
// fake takes for content.
func unchunked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			var plain []byte
			for {
				head, rest, _ := bytes.Cut(body, []byte("\r\n"))
				size, _, _ := strings.Cut(string(head), ";")
				n, err := strconv.ParseInt(size, 16, 64)
				if err != nil || n <= 0 || n > int64(len(rest)) {
					break
				}
				plain, body = append(plain, rest[:n]...), bytes.TrimPrefix(rest[n:], []byte("\r\n"))
			}
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(plain)), int64(len(plain))
			r.Header.Del("X-Amz-Content-Sha256")
			r.Header.Del("X-Amz-Decoded-Content-Length")
			r.Header.Set("Content-Length", strconv.Itoa(len(plain)))
		}
		next.ServeHTTP(w, r)
	})
}

func TestStore(t *testing.T) {
	backend := s3mem.New()
	server := httptest.NewServer(unchunked(gofakes3.New(backend).Server()))
	t.Cleanup(server.Close)
	var n atomic.Int64
	storetest.Run(t, func(t *testing.T) (snapshot.Store, snapshot.Store) {
		bucket := fmt.Sprint("bucket", n.Add(1))
		if err := backend.CreateBucket(bucket); err != nil {
			t.Fatal(err)
		}
		open := func() snapshot.Store {
			cfg, err := s3.ParseURL("s3://" + bucket + "/some/prefix/?region=here&endpoint=" + server.URL)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Credentials = credentials.NewStaticV4("user", "secret", "")
			s, err := s3.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		return open(), open()
	})
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
