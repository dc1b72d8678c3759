package events

import "fmt"

// Validate reports the first rule that the record breaks. What breaks none can
// be encoded, and applying it is well defined.
func (r Record) Validate() error {
	if len(r.Changes) == 0 {
		return fmt.Errorf("%w record: holds no change", ErrInvalid)
	}
	if len(r.Changes) > MaxChanges {
		return fmt.Errorf("%w record: %d changes, at most %d", ErrInvalid, len(r.Changes), MaxChanges)
	}
	for i, c := range r.Changes {
		if err := validateChange(c); err != nil {
			return fmt.Errorf("change %d: %w", i, err)
		}
	}
	if len(r.Changes) > 1 {
		return r.validateOrder()
	}
	return nil
}

func validateChange(c Change) error {
	switch c := c.(type) {
	case *Put:
		if err := ValidateKey(c.Key); err != nil {
			return err
		}
		if len(c.Entry) > MaxInline {
			return fmt.Errorf("%w put of %q: entry of %d bytes rides inline, at most %d", ErrInvalid, clip(c.Key), len(c.Entry), MaxInline)
		}
	case *Invalidate:
		if err := c.Scope.Validate(); err != nil {
			return err
		}
		if len(c.Source) > MaxSource || len(c.Cause.Event) > MaxCause || len(c.Cause.Trace) > MaxCause {
			return fmt.Errorf("%w invalidate: source position or cause longer than %d bytes", ErrInvalid, MaxSource)
		}
	case *Intent:
		if c.Bracket == (BracketID{}) {
			return fmt.Errorf("%w intent: no bracket id", ErrInvalid)
		}
		if len(c.Writer) > MaxNodeID || len(c.Decider) > MaxDecider {
			return fmt.Errorf("%w intent: writer longer than %d bytes, or decider longer than %d", ErrInvalid, MaxNodeID, MaxDecider)
		}
		return c.Scope.Validate()
	case *End:
		if c.Bracket == (BracketID{}) {
			return fmt.Errorf("%w end: no bracket id", ErrInvalid)
		}
		if !c.Scope.Empty() {
			return c.Scope.Validate()
		}
	case *Pulse:
		return c.validate()
	case *EpochChange:
		if c.Epoch == 0 {
			return fmt.Errorf("%w epoch change: zero epoch", ErrInvalid)
		}
		if len(c.Why) > MaxWhy {
			return fmt.Errorf("%w epoch change: reason longer than %d bytes", ErrInvalid, MaxWhy)
		}
	default:
		return fmt.Errorf("%w change: %T is not one", ErrInvalid, c)
	}
	return nil
}

func (p *Pulse) validate() error {
	switch {
	case p.Node == "" || len(p.Node) > MaxNodeID:
		return fmt.Errorf("%w pulse: node id of %d bytes, want 1 to %d", ErrInvalid, len(p.Node), MaxNodeID)
	case p.Incarnation == (Incarnation{}):
		return fmt.Errorf("%w pulse: no incarnation", ErrInvalid)
	case len(p.Addresses) > MaxAddresses:
		return fmt.Errorf("%w pulse: %d addresses, at most %d", ErrInvalid, len(p.Addresses), MaxAddresses)
	}
	for _, a := range p.Addresses {
		if len(a) > MaxAddress {
			return fmt.Errorf("%w pulse: address of %d bytes, at most %d", ErrInvalid, len(a), MaxAddress)
		}
	}
	return nil
}

// validateOrder refuses a change that covers a key which an earlier change
// puts: copy and fence would share a position, and the copy would live.
func (r Record) validateOrder() error {
	var put map[string]struct{}
	for i, c := range r.Changes {
		if err := conflict(put, c); err != nil {
			return fmt.Errorf("change %d: %w", i, err)
		}
		if p, ok := c.(*Put); ok {
			if put == nil {
				put = make(map[string]struct{}, len(r.Changes))
			}
			put[p.Key] = struct{}{}
		}
	}
	return nil
}

// Conflicts reports whether c must not stand in one record behind changes that
// put the keys of put: it fences or puts one of them, or is so broad (tags,
// prefixes, globs, all, an end, an epoch) that it may. Whoever gathers changes
// into records asks it, and does well to gather fences before puts.
func Conflicts(put map[string]struct{}, c Change) bool { return conflict(put, c) != nil }

func conflict(put map[string]struct{}, c Change) error {
	if len(put) == 0 {
		return nil
	}
	var scope *Scope
	switch c := c.(type) {
	case *Put:
		if _, twice := put[c.Key]; twice {
			return fmt.Errorf("%w record: puts %q twice", ErrInvalid, clip(c.Key))
		}
		return nil
	case *Invalidate:
		scope = &c.Scope
	case *Intent:
		scope = &c.Scope
	case *Pulse:
		return nil
	case *End, *EpochChange:
		// Whether an end fences its scope, or that of the intent, only the log
		// knows.
		return fmt.Errorf("%w record: %T behind a put", ErrInvalid, c)
	}
	if scope.Broad() {
		// Tags lie within entries; and to hold every prefix and glob against
		// every key would let one record cost seconds to validate.
		return fmt.Errorf("%w record: a fence of tags, prefixes, globs or all behind a put", ErrInvalid)
	}
	for _, k := range scope.Keys {
		if _, hit := put[k]; hit {
			return fmt.Errorf("%w record: fences %q behind its put", ErrInvalid, clip(k))
		}
	}
	return nil
}
