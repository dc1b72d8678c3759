package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
)

// facts say what the figures were measured on.
type facts struct {
	CPU   string            `json:"cpu"`
	Cores int               `json:"cores"`
	Load  string            `json:"load_average"` // before the run
	Go    string            `json:"go"`
	OS    string            `json:"os"`
	Parts map[string]string `json:"parts"`
}

// partsUnderTest are the modules whose versions matter.
var partsUnderTest = []string{
	"github.com/coocood/freecache", "github.com/redis/go-redis/v9", "github.com/cockroachdb/pebble/v2",
	"github.com/nats-io/nats.go", natsServer,
}

const natsServer = "github.com/nats-io/nats-server/v2"

func gatherFacts() facts {
	f := facts{
		CPU: cpu(), Cores: runtime.GOMAXPROCS(0), Load: loadAverage(),
		Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH, Parts: make(map[string]string),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			for _, want := range partsUnderTest {
				if m.Path == want {
					f.Parts[want] = m.Version
				}
			}
		}
	}
	// The server is a process, not a part of this build; its module is pinned
	// beside the others.
	if out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", natsServer).Output(); err == nil {
		f.Parts[natsServer] = strings.TrimSpace(string(out))
	}
	if out, err := exec.Command("redis-server", "--version").Output(); err == nil {
		if _, v, ok := strings.Cut(string(out), "v="); ok {
			f.Parts["redis-server"], _, _ = strings.Cut(v, " ")
		}
	}
	return f
}

func (f facts) print(w io.Writer) {
	fmt.Fprintf(w, "%s, %d cores, load average %s; %s %s\n", f.CPU, f.Cores, f.Load, f.Go, f.OS)
	for _, p := range append(partsUnderTest, "redis-server") {
		if v, ok := f.Parts[p]; ok {
			fmt.Fprintf(w, "  %s %s\n", p, v)
		}
	}
}

func cpu() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(b), " ")
	return first
}
