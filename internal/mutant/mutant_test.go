package mutant

import "testing"

// A name is what a person types, and what a failing run is told by.
func TestNamesAreFound(t *testing.T) {
	seen := map[string]bool{}
	for _, i := range All() {
		if i.Name == "" || i.Clause == "" || i.What == "" {
			t.Errorf("%d says too little: %+v", i.Fault, i)
		}
		if seen[i.Name] {
			t.Errorf("%s is there twice", i.Name)
		}
		seen[i.Name] = true
		if f, ok := Find(i.Name); !ok || f != i.Fault || f.String() != i.Name {
			t.Errorf("%s finds %v", i.Name, f)
		}
	}
	if f, ok := Find("no-such-fault"); ok {
		t.Errorf("found %v", f)
	}
	if len(seen) < 30 {
		t.Errorf("%d faults, want 30 at least", len(seen))
	}
}
