package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"strconv"
	"testing"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/tiers"
	"github.com/raptorflow/tercet/internal/tiers/tiertest"
	"github.com/raptorflow/tercet/test/process"
)

// A server that wants certificates gets them, and one that nobody vouches for is
// not talked to.
func TestTLS(t *testing.T) {
	files := process.NewCertificates(t)
	port := strconv.Itoa(process.FreePort(t))
	process.Redis(t, "--tls-port", port, "--tls-ca-cert-file", files.CA, "--tls-cert-file", files.Cert,
		"--tls-key-file", files.Key, "--tls-auth-clients", "yes")
	pem, err := os.ReadFile(files.CA)
	if err != nil {
		t.Fatal(err)
	}
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	tier := func(c *tls.Config) *Tier {
		t.Helper()
		client, err := NewClient(ClientConfig{URL: "rediss://127.0.0.1:" + port, TLS: c})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		return open(t, Config{Client: client})
	}
	whole := tier(&tls.Config{RootCAs: authorities, Certificates: []tls.Certificate{pair}})
	mustPut(t, whole, tiertest.Entry(t, "k", 1, "v"))
	if e, err := whole.Get(t.Context(), "k", nil); err != nil || string(e.Payload()) != "v" {
		t.Fatalf("get: %q, %v", e, err)
	}
	for what, c := range map[string]*tls.Config{
		"system's authorities":   nil,
		"no certificate of ours": {RootCAs: authorities},
		"another name":           {RootCAs: authorities, Certificates: []tls.Certificate{pair}, ServerName: "elsewhere"},
	} {
		if _, err := tier(c).Get(t.Context(), "k", nil); !errors.Is(err, tiers.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", what, err)
		}
	}
	if _, err := NewClient(ClientConfig{URL: "redis://127.0.0.1:" + port, TLS: &tls.Config{}}); !errors.Is(err, events.ErrInvalid) {
		t.Errorf("certificates without TLS: %v, want invalid", err)
	}
}
