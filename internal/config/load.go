package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// Loader reads a [Config] for one binary. Build it with [NewLoader]; use it
// once.
type Loader struct {
	binary Binary
	flags  *pflag.FlagSet
	print  bool
	// policies are those that the file has.
	policies []KeyPolicy

	// Environ returns the environment as "NAME=value"; the process's by default.
	Environ func() []string
	// Hostname is asked for a node's default name; os.Hostname by default.
	Hostname func() (string, error)
}

// NewLoader returns a loader for b and adds b's flags, --config and
// --print-config to flags.
func NewLoader(b Binary, flags *pflag.FlagSet) *Loader {
	l := &Loader{binary: b, flags: flags, Environ: environ, Hostname: os.Hostname}
	for _, s := range settings(defaults(b)) {
		if s.used&b != 0 {
			l.addFlag(s)
		}
	}
	flags.String(fileFlag, "", "YAML file with settings ("+fileVariable+")")
	flags.BoolVar(&l.print, "print-config", false, "print each setting and where its value came from, then exit")
	return l
}

const (
	fileFlag     = "config"
	fileVariable = prefix + "CONFIG"
)

// PrintRequested reports whether --print-config was given.
func (l *Loader) PrintRequested() bool { return l.print }

// layer is one source of values, stronger than those before it.
type layer struct {
	values *koanf.Koanf
	// place says where in the layer key's value stands.
	place func(key string) string
}

// Load reads all sources. Call it after the flags were parsed. The error, if
// any, holds one *[Error] per problem (see errors.As and errors.Join); the
// Config that comes with it is fit for [Config.Print] only.
func (l *Loader) Load() (*Config, error) {
	c := defaults(l.binary)
	var layers []layer
	var errs []error
	for _, read := range []func() (layer, []error){l.file, l.aliases, l.environment, l.commandLine} {
		y, bad := read()
		errs = append(errs, bad...)
		if y.values != nil {
			layers = append(layers, y)
		}
	}
	c.Policies = l.policies
	for _, s := range settings(c) {
		o := origin{key: s.key, place: "default"}
		for _, y := range slices.Backward(layers) {
			if !y.values.Exists(s.key) {
				continue
			}
			o.place = y.place(s.key)
			if err := s.value.set(words(y.values.Get(s.key))); err != nil {
				errs = append(errs, l.badValue(s, o.place, y.values.Get(s.key), err))
			}
			break
		}
		c.origins = append(c.origins, o)
	}
	if c.NodeID == "" && l.binary == ForNode {
		if name, err := l.Hostname(); err == nil {
			c.NodeID = name
			c.setPlace("node_id", "default (the host's name)")
		}
	}
	if len(errs) == 0 {
		// Rules about the whole would complain about what was refused above.
		errs = c.validate(l.binary)
	}
	return c, errors.Join(errs...)
}

func (l *Loader) badValue(s setting, place string, raw any, err error) error {
	reason := err.Error()
	if !s.secret {
		reason = fmt.Sprintf("%q: %s", strings.Join(words(raw), ","), reason)
	}
	return &Error{Where: place, Key: s.key, Reason: reason, Err: ErrValue}
}

// words makes texts of a value as the layers hold it.
func words(raw any) []string {
	switch v := raw.(type) {
	case string:
		return []string{v}
	case []string:
		return v
	}
	return nil
}

func (l *Loader) file() (layer, []error) {
	path, how := l.path()
	if path == "" {
		return layer{}, nil
	}
	k, doc := koanf.New("."), &document{path: path}
	if err := k.Load(file.Provider(path), doc); err != nil {
		var typed *Error
		if !errors.As(err, &typed) {
			err = &Error{Where: how, Reason: err.Error(), Err: ErrFile}
		}
		return layer{}, []error{err}
	}
	l.policies = doc.found
	return layer{k, doc.place}, doc.errs
}

// path returns the configuration file's and what named it.
func (l *Loader) path() (path, how string) {
	if f := l.flags.Lookup(fileFlag); f.Changed {
		return f.Value.String(), "--" + fileFlag
	}
	for _, e := range l.Environ() {
		if name, value, _ := strings.Cut(e, "="); name == fileVariable {
			return value, fileVariable
		}
	}
	return "", ""
}

func (l *Loader) environment() (layer, []error) {
	var errs []error
	keys := make(map[string]string)
	for _, s := range settings(defaults(l.binary)) {
		keys[s.variable()] = s.key
	}
	k := koanf.New(".")
	err := k.Load(env.Provider(".", env.Opt{
		Prefix:      prefix,
		EnvironFunc: l.Environ,
		TransformFunc: func(name, value string) (string, any) {
			key, known := keys[name]
			switch {
			case name == fileVariable, value == "":
				// An empty variable is one that was not set: compose files and
				// unit files pass them on like that.
				return "", nil
			case !known:
				errs = append(errs, &Error{Where: "environment", Key: name, Err: ErrUnknown,
					Hint: suggest(name, append(sortedKeys(keys), fileVariable))})
			}
			return key, value
		},
	}), nil)
	if err != nil {
		errs = append(errs, err)
	}
	variables := invert(keys)
	return layer{k, func(key string) string { return variables[key] }}, errs
}

func (l *Loader) commandLine() (layer, []error) {
	keys := make(map[string]string)
	for _, s := range settings(defaults(l.binary)) {
		keys[s.flag()] = s.key
	}
	k := koanf.New(".")
	err := k.Load(posflag.ProviderWithFlag(l.flags, ".", nil, func(f *pflag.Flag) (string, any) {
		return keys[f.Name], f.Value.String()
	}), nil)
	if err != nil {
		return layer{}, []error{err}
	}
	flags := invert(keys)
	return layer{k, func(key string) string { return "--" + flags[key] }}, nil
}

func sortedKeys(m map[string]string) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func invert(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[v] = k
	}
	return out
}
