package link

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/raptorflow/tercet/internal/config"
)

// RedisTLS loads the files that c names; nil if it names none. Every error wraps
// [config.ErrValue].
func RedisTLS(c config.Redis) (*tls.Config, error) {
	if c.TLS == (config.ClientTLS{}) {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLS.CA != "" {
		pem, err := os.ReadFile(c.TLS.CA)
		if err != nil {
			return nil, fmt.Errorf("%w redis.ca: %w", config.ErrValue, err)
		}
		if t.RootCAs, err = x509.SystemCertPool(); err != nil {
			t.RootCAs = x509.NewCertPool()
		}
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w redis.ca: %s holds no certificate", config.ErrValue, c.TLS.CA)
		}
	}
	if c.TLS.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.TLS.Cert, c.TLS.Key)
		if err != nil {
			return nil, fmt.Errorf("%w redis.cert: %w", config.ErrValue, err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}
