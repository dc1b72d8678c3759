package headroom

import (
	"bytes"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// unlimited is what a control group of version 1 says that has no limit, or
// close to it: the greatest number of whole pages.
const unlimited = 1 << 62

// ofGroups reads the process's control groups below root, the file system's
// root: its own and those around it, of which each may set a limit. In a
// container its path is often that of the host while only its own group is
// mounted; then the mount's root is what is left.
func ofGroups(root fs.FS) (r Reading) {
	b, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return Reading{}
	}
	for line := range strings.Lines(string(b)) { // hierarchy:controllers:path
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		mount, read := "", version1
		switch {
		case parts[0] == "0" && parts[1] == "":
			mount, read = "sys/fs/cgroup", version2
		case strings.Contains(","+parts[1]+",", ",memory,"):
			mount = "sys/fs/cgroup/memory"
		default:
			continue
		}
		for dir := path.Join(mount, path.Clean("/"+parts[2])); ; dir = path.Dir(dir) {
			r = r.tighter(read(root, dir))
			if dir == mount {
				break
			}
		}
	}
	return r
}

func version2(root fs.FS, dir string) Reading {
	r := Reading{Limit: number(root, dir+"/memory.max"), Stalled: stalled(root, dir+"/memory.pressure")}
	// Above high the kernel slows the group down, long before it kills.
	if high := number(root, dir+"/memory.high"); high != 0 && (r.Limit == 0 || high < r.Limit) {
		r.Limit = high
	}
	r.Used = less(number(root, dir+"/memory.current"), field(root, dir+"/memory.stat", "inactive_file "))
	return r
}

func version1(root fs.FS, dir string) Reading {
	r := Reading{Limit: number(root, dir+"/memory.limit_in_bytes")}
	r.Used = less(number(root, dir+"/memory.usage_in_bytes"), field(root, dir+"/memory.stat", "total_inactive_file "))
	return r
}

// less is a - b, or 0: the two were not read at one time.
func less(a, b uint64) uint64 { return a - min(a, b) }

// number reads a file that holds one number; 0 if there is none, or no limit.
func number(root fs.FS, name string) uint64 {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 64)
	if err != nil || n >= unlimited { // "max"
		return 0
	}
	return n
}

// field reads the number behind name in a file of such lines.
func field(root fs.FS, file, name string) uint64 {
	b, err := fs.ReadFile(root, file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(rest), 10, 64)
			return n
		}
	}
	return 0
}

// stalled reads the first number of a line like "some avg10=2.04 avg60=…".
func stalled(root fs.FS, file string) float64 {
	b, err := fs.ReadFile(root, file)
	if err != nil {
		return 0
	}
	_, rest, ok := strings.Cut(string(b), "some avg10=")
	if !ok {
		return 0
	}
	percent, _, _ := strings.Cut(rest, " ")
	f, err := strconv.ParseFloat(percent, 64)
	if err != nil {
		return 0
	}
	return f / 100
}
