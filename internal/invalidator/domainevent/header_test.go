package domainevent_test

import (
	"testing"

	"github.com/raptorflow/tercet/internal/invalidator/domainevent"
)

func FuzzHeaderText(f *testing.F) {
	f.Add("Euro € 😀")
	f.Add(`"a\"%`)
	f.Fuzz(func(t *testing.T, s string) {
		encoded := domainevent.HeaderText(s)
		for i := 0; i < len(encoded); i++ {
			if encoded[i] <= ' ' || encoded[i] > '~' {
				t.Errorf("%q becomes %q, which is no header", s, encoded)
			}
		}
		if back, err := domainevent.ParseHeaderText(encoded); err != nil || back != s {
			t.Errorf("%q becomes %q and then %q, %v", s, encoded, back, err)
		}
		_, _ = domainevent.ParseHeaderText(s) // anything may come
	})
}
