package memory_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coocood/freecache"

	"github.com/raptorflow/tercet/internal/tiers/memory"
	"github.com/raptorflow/tercet/internal/tiers/tiertest"
)

// BenchmarkLookup measures a hit beside freecache's GetWithBuf of the payload
// alone with its default timer, in turn.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		keys := make([]string, n)
		bytes := make([][]byte, n)
		raw := freecache.NewCache(512 << 20)
		var tick atomic.Uint32
		ours, err := memory.New(memory.Config{Bytes: 512 << 20, Ticks: tick.Load})
		if err != nil {
			b.Fatal(err)
		}
		payload := strings.Repeat("x", 100)
		for i := range keys {
			keys[i] = fmt.Sprintf("key:%08d", i*7919%n)
			bytes[i] = []byte(keys[i])
			if err := raw.Set(bytes[i], []byte(payload), 0); err != nil {
				b.Fatal(err)
			}
			if err := ours.Put(tiertest.Entry(b, keys[i], 1, payload)); err != nil {
				b.Fatal(err)
			}
		}
		buf := make([]byte, 0, 512)
		slice := func(from int, get func(i int)) time.Duration {
			const count = 50_000
			began := time.Now()
			for i := range count {
				get((from + i) % n)
			}
			return time.Since(began) / count
		}
		b.Run(fmt.Sprint(n, " keys"), func(b *testing.B) {
			var r tiertest.Ratio
			at := 0
			for b.Loop() {
				p := slice(at, func(i int) {
					if _, err := raw.GetWithBuf(bytes[i], buf); err != nil {
						b.Fatal(err)
					}
				})
				o := slice(at, func(i int) {
					if _, ok := ours.Lookup(keys[i], buf); !ok {
						b.Fatal("miss")
					}
				})
				r.Add(p, o)
				at += 50_000
			}
			r.Report(b)
		})
	}
}
