package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/raptorflow/tercet/internal/mutant"
)

var switchCall = regexp.MustCompile(`mutant\.On\(mutant\.(\w+)\)`)

// findSwitches returns the packages below tops in which each fault, by its name,
// has a switch.
func findSwitches(tops ...string) (map[string][]string, error) {
	names := map[string]string{}
	for _, f := range mutant.All() {
		names[identifier(f.Name)] = f.Name
	}
	places := map[string][]string{}
	look := func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range switchCall.FindAllSubmatch(src, -1) {
			name, dir := names[string(m[1])], filepath.ToSlash(filepath.Dir(path))
			if !slices.Contains(places[name], dir) {
				places[name] = append(places[name], dir)
			}
		}
		return nil
	}
	for _, top := range tops {
		if err := filepath.WalkDir(top, look); err != nil {
			return nil, err
		}
	}
	return places, nil
}

// identifier is how the source spells a fault's name.
func identifier(name string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(name, "-") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}
