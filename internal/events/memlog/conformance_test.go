package memlog_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/logtest"
	"github.com/raptorflow/tercet/internal/events/memlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	logtest.Run(t, func(t *testing.T) logtest.Harness { return harness(t, func() memlog.Faults { return memlog.Faults{} }) })
}

// The same promises hold whatever happens between client and server.
func TestConformanceUnderFaults(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			logtest.RunVirtual(t, func(t *testing.T) logtest.Harness { return harness(t, chaos(seed)) })
		})
	}
}

// chaos returns faults for one client after the other, all drawn from a seed.
// Each kind strikes now and then, none always.
func chaos(seed uint64) func() memlog.Faults {
	clients := rand.New(rand.NewPCG(seed, 0x7e2ce7))
	return func() memlog.Faults { return draw(rand.New(rand.NewPCG(clients.Uint64(), 0))) }
}

func draw(r *rand.Rand) memlog.Faults {
	return memlog.Faults{
		Publish: func(events.ID, int) (memlog.Fate, time.Duration) {
			delay := time.Duration(r.IntN(3)) * time.Millisecond
			switch r.IntN(12) {
			case 0:
				return memlog.RequestLost, delay
			case 1:
				return memlog.AnswerLost, delay
			}
			return memlog.Landed, delay
		},
		Deliver: func(events.Position) memlog.Route {
			if r.IntN(100) > 0 {
				return memlog.Delivered
			}
			return []memlog.Route{memlog.Repeated, memlog.Dropped, memlog.Overtaken, memlog.Stalled}[r.IntN(4)]
		},
		Delay: func() time.Duration { return time.Duration(r.IntN(3)) * time.Millisecond },
	}
}

func harness(t *testing.T, faults func() memlog.Faults) logtest.Harness {
	s := memlog.NewStream()
	s.Append(events.ID{Counter: 1}, []byte("came before the test"))
	l := s.Connect(faults())
	t.Cleanup(l.Close)
	return logtest.Harness{
		Log: l,
		Another: func(t *testing.T) events.Log {
			o := s.Connect(faults())
			t.Cleanup(o.Close)
			return o
		},
		Close:    l.Close,
		Foreign:  func(_ *testing.T, data []byte) { s.AppendForeign(data) },
		Trim:     func(_ *testing.T, first events.Position) { s.Trim(first) },
		Lose:     func(_ *testing.T, first, last events.Position) { s.Lose(first, last) },
		Recreate: func(*testing.T) { s.Recreate() },
		Save: func(*testing.T) func(*testing.T) {
			_, last := s.Bounds()
			return func(*testing.T) { s.Rollback(last) }
		},
		Mute: func(*testing.T) func() {
			muted := memlog.Faults{}
			muted.Publish = func(events.ID, int) (memlog.Fate, time.Duration) { return memlog.RequestLost, 0 }
			l.Inject(muted)
			return func() { l.Inject(faults()) }
		},
	}
}
