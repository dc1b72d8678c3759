package keys

import (
	"regexp"
	"strings"
)

// secretNames are what names of secrets contain, without separators.
var secretNames = []string{
	"password", "passwd", "secret", "apikey", "accesskey", "privatekey", "authorization", "accesstoken",
	"refreshtoken", "idtoken", "sessiontoken", "authtoken", "csrf", "cookie", "jwt", "credential",
}

// namesSecret reports whether a parameter of that name tends to hold a secret.
func namesSecret(name string) bool {
	name = strings.NewReplacer("-", "", "_", "", ".", "", " ", "").Replace(strings.ToLower(name))
	if name == "token" || name == "auth" || name == "pwd" {
		return true
	}
	for _, s := range secretNames {
		if strings.Contains(name, s) {
			return true
		}
	}
	return false
}

// secretForms are the published forms of credentials: JSON web tokens (RFC
// 7519), bearer headers (RFC 6750), PEM blocks (RFC 7468), and the prefixes by
// which AWS, GitHub, Slack and Stripe mark theirs for scanners.
var secretForms = regexp.MustCompile(`^eyJ[\w-]+\.eyJ[\w-]+\.` +
	`|(?i:^bearer\s+\S)|(?i:^basic\s+[a-z0-9+/=]{8})` +
	`|-----BEGIN ` +
	`|\b(AKIA|ASIA)[0-9A-Z]{16}\b` +
	`|\bgh[pousr]_[A-Za-z0-9]{36}|\bgithub_pat_\w{22}` +
	`|\bxox[abprs]-[A-Za-z0-9-]{10}` +
	`|\b[rs]k_(live|test)_[A-Za-z0-9]{16}`)

func looksSecret(s string) bool { return secretForms.MatchString(s) }
