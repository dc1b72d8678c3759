// Package fault breaks a fleet, one way at a time.
//
// A [Kind] injects itself, proves that it took effect, and heals. What it can't
// do here, for want of root or of a server of the kind, it says
// ([ErrNotHere]): a run that lists it fails.
package fault
