package memory_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coocood/freecache"

	"github.com/raptorflow/tercet/internal/tiers/memory"
	"github.com/raptorflow/tercet/internal/tiers/tiertest"
)

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
			keys[i] = fmt.Sprintf("key:%08d", (i*7919)%n)
			bytes[i] = []byte(keys[i])
			_ = raw.Set(bytes[i], []byte(payload), 0)
			_ = ours.Put(tiertest.Entry(b, keys[i], 1, payload))
		}
		buf := make([]byte, 0, 512)
		b.Run(fmt.Sprintf("raw/%d", n), func(b *testing.B) {
			i := 0
			for b.Loop() {
				if _, err := raw.GetWithBuf(bytes[i], buf); err != nil {
					b.Fatal(err)
				}
				if i++; i == n {
					i = 0
				}
			}
		})
		b.Run(fmt.Sprintf("ours/%d", n), func(b *testing.B) {
			i := 0
			for b.Loop() {
				if _, ok := ours.Lookup(keys[i], buf); !ok {
					b.Fatal("miss")
				}
				if i++; i == n {
					i = 0
				}
			}
		})
	}
}
