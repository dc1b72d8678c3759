// Package rules holds the example rule files, so that what shows them off runs
// the very files that people read.
package rules

import _ "embed"

// Shop is the rule file of a small shop, for CloudEvents.
//
//go:embed shop.yaml
var Shop []byte
