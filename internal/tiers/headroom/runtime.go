package headroom

import (
	"math"
	"runtime/debug"
	"runtime/metrics"
)

// ofRuntime reads GOMEMLIMIT, or what debug.SetMemoryLimit has made of it. What
// the limit counts grows by garbage until the next collection, which is no sign
// of anything; so heap memory counts as what the last collection found alive.
func ofRuntime() Reading {
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		return Reading{}
	}
	s := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(s)
	var v [6]int64
	for i := range s {
		if s[i].Value.Kind() == metrics.KindUint64 {
			v[i] = int64(s[i].Value.Uint64())
		}
	}
	besideHeap := v[0] - v[1] - v[2] - v[3] - v[4]
	return Reading{Used: uint64(max(0, besideHeap) + v[5]), Limit: uint64(max(1, limit))}
}
