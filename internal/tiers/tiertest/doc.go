// Package tiertest is the one suite that every tier passes: what port
// [tiers.Tier] promises, whatever stands behind it.
//
// It is imported by tests only.
package tiertest
