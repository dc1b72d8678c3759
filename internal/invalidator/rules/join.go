package rules

import "fmt"

// Join returns the rules of several files as one set, in the files' order. Two
// rules of one name are refused with an error that wraps [ErrInvalid].
func Join(sets ...*Set) (*Set, error) {
	var all []*rule
	names := make(map[string]struct{})
	for _, s := range sets {
		for _, r := range s.rules {
			if _, twice := names[r.name]; twice {
				return nil, fmt.Errorf("%w: two files have a rule %q", ErrInvalid, r.name)
			}
			names[r.name] = struct{}{}
			all = append(all, r)
		}
	}
	return newSet(all), nil
}
