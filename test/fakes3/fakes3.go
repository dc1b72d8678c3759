// Package fakes3 is a bucket that speaks S3's protocol, in memory, for tests.
package fakes3

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// Server holds buckets until its test ends.
type Server struct {
	backend *s3mem.Backend
	url     string
}

// Start returns a server without buckets.
func Start(t testing.TB) *Server {
	t.Helper()
	backend := s3mem.New()
	server := httptest.NewServer(unchunked(gofakes3.New(backend).Server()))
	t.Cleanup(server.Close)
	return &Server{backend, server.URL}
}

// Bucket makes a bucket and returns what names it, as s3.ParseURL reads it; any
// credentials do.
func (s *Server) Bucket(t testing.TB, name string) (url string) {
	t.Helper()
	if err := s.backend.CreateBucket(name); err != nil {
		t.Fatal(err)
	}
	return "s3://" + name + "/some/prefix/?region=here&endpoint=" + s.url
}

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
