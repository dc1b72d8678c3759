package redis

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/raptorflow/tercet/internal/tiers/tiertest"
	"github.com/raptorflow/tercet/test/process"
)

// BenchmarkGet measures a hit beside a plain go-redis GET of the payload alone,
// in turn, and reports the median of the rounds' ratios.
func BenchmarkGet(b *testing.B) {
	server := process.Redis(b)
	for _, size := range []int{100, 1024} {
		plain := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
		defer plain.Close()
		ours := open(b, Config{Client: client(b, server.URL())})
		payload := strings.Repeat("x", size)
		const keys = 1000
		for i := range keys {
			k := fmt.Sprint("key", i)
			if err := plain.Set(b.Context(), k, payload, 0).Err(); err != nil {
				b.Fatal(err)
			}
			if err := ours.Put(b.Context(), tiertest.Entry(b, k, 1, payload)); err != nil {
				b.Fatal(err)
			}
		}
		for _, callers := range []int{1, 8, 50} {
			run := func(get func(string)) time.Duration {
				const slice = 20 * time.Millisecond
				var wg sync.WaitGroup
				var n sync.Mutex
				total := 0
				began := time.Now()
				for c := range callers {
					wg.Go(func() {
						mine := 0
						for i := c; time.Since(began) < slice; i++ {
							get(fmt.Sprint("key", i%keys))
							mine++
						}
						n.Lock()
						total += mine
						n.Unlock()
					})
				}
				wg.Wait()
				return time.Since(began) / time.Duration(total)
			}
			b.Run(fmt.Sprintf("%dB/%d callers", size, callers), func(b *testing.B) {
				var r tiertest.Ratio
				for b.Loop() {
					p := run(func(k string) {
						if v, err := plain.Get(b.Context(), k).Bytes(); err != nil || len(v) != size {
							b.Error(err)
						}
					})
					o := run(func(k string) {
						if e, err := ours.Get(b.Context(), k, nil); err != nil || len(e.Payload()) != size {
							b.Error(err)
						}
					})
					r.Add(p, o)
				}
				r.Report(b)
			})
		}
		s := ours.Stats()
		b.Logf("%d trips carried %d commands", s.Trips, s.Commands)
	}
}
