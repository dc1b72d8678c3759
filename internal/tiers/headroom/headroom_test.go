package headroom

import (
	"runtime/debug"
	"testing"
	"testing/fstest"
)

func file(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s + "\n")} }

func TestGroups(t *testing.T) {
	for _, x := range []struct {
		name  string
		files fstest.MapFS
		want  Reading
	}{
		{"none", fstest.MapFS{}, Reading{}},
		{"version 2, the page cache not counted", fstest.MapFS{
			"proc/self/cgroup":                  file("0::/app"),
			"sys/fs/cgroup/app/memory.max":      file("1000"),
			"sys/fs/cgroup/app/memory.current":  file("900"),
			"sys/fs/cgroup/app/memory.stat":     file("anon 600\ninactive_file 250\nactive_file 50"),
			"sys/fs/cgroup/app/memory.pressure": file("some avg10=12.50 avg60=1.00 avg300=0.00 total=1\nfull avg10=2.00"),
		}, Reading{Used: 650, Limit: 1000, Stalled: 0.125}},
		{"version 2, slowed down before it is killed", fstest.MapFS{
			"proc/self/cgroup":             file("0::/"),
			"sys/fs/cgroup/memory.max":     file("1000"),
			"sys/fs/cgroup/memory.high":    file("800"),
			"sys/fs/cgroup/memory.current": file("400"),
		}, Reading{Used: 400, Limit: 800}},
		{"version 2, a tighter one around it", fstest.MapFS{
			"proc/self/cgroup":                     file("0::/pod/app"),
			"sys/fs/cgroup/pod/app/memory.max":     file("1000"),
			"sys/fs/cgroup/pod/app/memory.current": file("100"),
			"sys/fs/cgroup/pod/memory.max":         file("2000"),
			"sys/fs/cgroup/pod/memory.current":     file("1900"),
		}, Reading{Used: 1900, Limit: 2000}},
		{"version 2, no limit", fstest.MapFS{
			"proc/self/cgroup":             file("0::/"),
			"sys/fs/cgroup/memory.max":     file("max"),
			"sys/fs/cgroup/memory.current": file("400"),
		}, Reading{Used: 0, Limit: 0}},
		{"version 1, the host's path in a container", fstest.MapFS{
			"proc/self/cgroup":                           file("11:cpu,cpuacct:/x\n4:memory:/docker/77aa\n1:name=systemd:/x"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes": file("1000"),
			"sys/fs/cgroup/memory/memory.usage_in_bytes": file("700"),
			"sys/fs/cgroup/memory/memory.stat":           file("inactive_file 1\ntotal_inactive_file 100"),
		}, Reading{Used: 600, Limit: 1000}},
		{"version 1, no limit", fstest.MapFS{
			"proc/self/cgroup":                           file("4:memory:/"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes": file("9223372036854771712"),
			"sys/fs/cgroup/memory/memory.usage_in_bytes": file("700"),
		}, Reading{}},
	} {
		if got := ofGroups(x.files); got != x.want {
			t.Errorf("%s: %+v, want %+v", x.name, got, x.want)
		}
	}
}

func TestTheTightestLimitCounts(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 40))
	roomy := look(fstest.MapFS{})
	if roomy.Limit != 1<<40 || roomy.Used == 0 || roomy.Share() > 0.1 {
		t.Fatalf("%+v under a limit of 1 TiB", roomy)
	}
	tight := look(fstest.MapFS{
		"proc/self/cgroup":             file("0::/"),
		"sys/fs/cgroup/memory.max":     file("1000"),
		"sys/fs/cgroup/memory.current": file("999"),
	})
	if tight.Limit != 1000 || tight.Share() != 0.999 {
		t.Errorf("%+v, want the control group's", tight)
	}
}

// Garbage is no pressure.
func TestGarbageDoesNotCount(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 40))
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	before := ofRuntime()
	for range 64 {
		sink = make([]byte, 1<<20)
	}
	if after := ofRuntime(); after.Used > before.Used+8<<20 {
		t.Errorf("64 MiB of garbage raised what is used from %d to %d", before.Used, after.Used)
	}
}

var sink []byte
