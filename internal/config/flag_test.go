package config

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestTableIsConsistent(t *testing.T) {
	seen := make(map[string]bool)
	for _, s := range settings(defaults(ForNode)) {
		for _, name := range []string{s.key, s.variable(), "--" + s.flag()} {
			if seen[name] {
				t.Errorf("%s stands twice", name)
			}
			seen[name] = true
		}
		if s.usage == "" || s.used == 0 {
			t.Errorf("%s: no usage, or nobody uses it", s.key)
		}
		if shown := s.value.show(); shown != "" {
			if err := s.value.set([]string{shown}); err != nil {
				t.Errorf("%s: default %q is refused: %v", s.key, shown, err)
			}
		}
		secret := slices.ContainsFunc([]string{"password", "token", "secret", "seal_keys"}, func(w string) bool { return strings.HasSuffix(s.key, w) })
		if secret != s.secret {
			t.Errorf("%s: secret = %v", s.key, s.secret)
		}
	}
	for _, a := range aliases {
		if !seen[a.key] {
			t.Errorf("%s stands for %s, which is no setting", a.variable, a.key)
		}
	}
}

func execute(args ...string) (string, error) {
	ran := errors.New("ran")
	cmd := Command(ForNode, "node", "short", "long", func(*cobra.Command, *Config) error { return ran })
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.Execute()
	if errors.Is(err, ran) {
		return out.String() + "ran", nil
	}
	return out.String(), err
}

func TestCommand(t *testing.T) {
	out, err := execute("--help")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings(defaults(ForNode)) {
		if has := strings.Contains(out, "--"+s.flag()+" "); has != (s.used&ForNode != 0) {
			t.Errorf("--help and %s: %v", s.key, has)
		}
		if s.used&ForNode != 0 && !strings.Contains(out, s.variable()) {
			t.Errorf("--help does not name %s", s.variable())
		}
	}
	if out, err := execute(enough...); err != nil || out != "ran" {
		t.Errorf("complete configuration: %q, %v", out, err)
	}
	if out, err := execute(with("--print-config")...); err != nil || !strings.Contains(out, "shop") || strings.Contains(out, "ran") {
		t.Errorf("--print-config: %q, %v", out, err)
	}
	if out, err := execute("--print-config", "--domain=shop"); !errors.Is(err, ErrMissing) || !strings.Contains(out, "shop") {
		t.Errorf("--print-config of an incomplete configuration: %q, %v", out, err)
	}
	if _, err := execute("--l1-sise=1"); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "did you mean --l1-size?") {
		t.Errorf("unknown flag: %v", err)
	}
	if _, err := execute("stray"); err == nil {
		t.Error("a stray argument is accepted")
	}
}
