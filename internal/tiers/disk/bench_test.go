package disk

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/raptorflow/tercet/internal/tiers/tiertest"
)

// BenchmarkLookup measures a hit beside a raw pebble Get of the payload alone,
// copied out, in one and the same database, in turn.
func BenchmarkLookup(b *testing.B) {
	for _, size := range []int{100, 1024} {
		const keys = 100_000
		s := open1(b, Config{Dir: b.TempDir(), CacheBytes: 512 << 20})
		batch := s.Batch(0)
		names, raw := make([]string, keys), make([][]byte, keys)
		payload := strings.Repeat("x", size)
		for i := range keys {
			names[i] = fmt.Sprintf("key:%08d", i*7919%keys)
			raw[i] = append(appendName(nil, 1, kindKey), names[i]...)
			batch.PutEntry(tiertest.Entry(b, names[i], 1, payload))
			if err := batch.next().b.Set(raw[i], []byte(payload), nil); err != nil {
				b.Fatal(err)
			}
			if i%1000 == 0 {
				mustCommit(b, batch)
			}
		}
		mustCommit(b, batch)
		if err := s.db.Flush(); err != nil {
			b.Fatal(err)
		}
		if err := s.db.Compact(b.Context(), []byte{0}, []byte{0xff}, false); err != nil {
			b.Fatal(err)
		}
		buf := make([]byte, 0, 4096)
		slice := func(from int, get func(i int)) time.Duration {
			const n = 10_000
			began := time.Now()
			for i := range n {
				get((from + i) % keys)
			}
			return time.Since(began) / n
		}
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			var r tiertest.Ratio
			at := 0
			for b.Loop() {
				p := slice(at, func(i int) {
					v, closer, err := s.db.Get(raw[i])
					if err != nil || len(v) != size {
						b.Fatal(err)
					}
					buf = append(buf[:0], v...)
					_ = closer.Close()
				})
				o := slice(at, func(i int) {
					f, err := s.Lookup(names[i], buf)
					if err != nil || len(f.Entry.Payload()) != size {
						b.Fatal(err)
					}
				})
				r.Add(p, o)
				at += 10_000
			}
			r.Report(b)
		})
	}
}

func BenchmarkCommit(b *testing.B) {
	s := open1(b, Config{Dir: b.TempDir()})
	batch := s.Batch(0)
	b.Run("fence of one key", func(b *testing.B) {
		for b.Loop() {
			batch.FenceKey("user:123", 7)
			mustCommit(b, batch)
		}
	})
	b.Run("1000 fences", func(b *testing.B) {
		names := make([]string, 1000)
		for i := range names {
			names[i] = fmt.Sprint("user:", i)
		}
		for b.Loop() {
			for _, n := range names {
				batch.FenceKey(n, 7)
			}
			mustCommit(b, batch)
		}
	})
}
